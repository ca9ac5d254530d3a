"""Versions of a draft, or of its preshared key, as forms carry them: the time of the last edit."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import QueryDict

from vpnportal.services import VERSION_UNKNOWN, SeenVersion


def written(at: datetime | None) -> str:
    """Return a version as text (ISO 8601); "" for a draft without edits."""
    return at.isoformat() if at else ""


def version(text: str) -> datetime | None:
    """Return the version that `written` wrote.

    Raises BadRequest if the text is no version.
    """
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest("There is no such version.") from None
    if at is not None and at.tzinfo is None:
        raise BadRequest("There is no such version.")
    return at


def seen_of(posted: QueryDict, name: str = "seen") -> SeenVersion:
    """Return the version that a form was rendered with; unknown if the request has none."""
    text = posted.get(name)
    return VERSION_UNKNOWN if text is None else version(text)
