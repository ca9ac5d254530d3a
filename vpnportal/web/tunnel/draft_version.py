"""Versions of a draft or a preshared key in form inputs: the time of the last edit as text."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import QueryDict

from vpnportal.services import VERSION_UNKNOWN, SeenVersion


def written(at: datetime | None) -> str:
    """Return a version as text (ISO 8601); "" for a draft without edits."""
    return at.isoformat() if at else ""


def version(text: str) -> datetime | None:
    """Return the time that `written` formatted; None for "".

    Raises BadRequest if the text is not an ISO 8601 time with a time zone.
    """
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest("There is no such version.") from None
    if at is not None and at.tzinfo is None:
        raise BadRequest("There is no such version.")
    return at


def seen_of(posted: QueryDict, name: str = "seen") -> SeenVersion:
    """Return the version in the POST parameter `name`: the version that the form showed.

    Returns VERSION_UNKNOWN without the parameter.
    """
    text = posted.get(name)
    return VERSION_UNKNOWN if text is None else version(text)
