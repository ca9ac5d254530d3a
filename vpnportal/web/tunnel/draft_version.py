"""The version of a draft, or of its key, as a form carries it: when it was edited last."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import QueryDict

from vpnportal.services.edit_conflicts import VERSION_UNKNOWN, SeenVersion


def written(at: datetime | None) -> str:
    """A version as text; "" for a draft that nobody edited."""
    return at.isoformat() if at else ""


def version(text: str) -> datetime | None:
    """The version that `written` wrote; what no page of ours has is a bad request."""
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest("There is no such version.") from None
    if at is not None and at.tzinfo is None:
        raise BadRequest("There is no such version.")
    return at


def seen_of(posted: QueryDict, name: str = "seen") -> SeenVersion:
    """The version that a form was made from, if it tells one."""
    text = posted.get(name)
    return VERSION_UNKNOWN if text is None else version(text)
