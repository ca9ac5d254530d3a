"""Optimistic locking of drafts: an edit is refused if its author saw an older value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal, TypeAlias

from django.contrib.auth.models import User
from django.db.models import Max, QuerySet
from django.utils import timezone

from vpnportal.clock import time_of_day
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import LastEdit, Tunnel
from vpnportal.services.errors import Refused


class Unknown(Enum):
    """Sentinel type for a caller that gives no version."""

    UNKNOWN = "unknown"


# Skips the check for conflicts.
VERSION_UNKNOWN: Final = Unknown.UNKNOWN
# The version of a draft that a user saw; None for a draft without edits.
SeenVersion: TypeAlias = "datetime | Literal[Unknown.UNKNOWN] | None"
LastEdits: TypeAlias = "QuerySet[LastEdit]"
KEY_FIELD = "preshared_key"
FORMER_USER = "A former user"
SAVE_AGAIN = "Save again to overwrite it."


class EditConflict(Refused):
    """A refusal because another user changed the same field. Saving again overwrites the change."""


def note_edits(tunnel: Tunnel, fields: Iterable[str], author: User | None) -> None:
    """Record the author's edit of these fields, inside the tunnel's lock. A command has no author.

    The time of an edit is a version of the draft. Each new time is later than the last one, even
    after the clock was set back.
    """
    at, newest = timezone.now(), newest_edit(tunnel)
    if newest and newest >= at:
        at = newest + timedelta(microseconds=1)
    LastEdit.objects.bulk_create(
        [LastEdit(tunnel=tunnel, field=field, author=author, at=at) for field in fields],
        update_conflicts=True,
        unique_fields=["tunnel", "field"],
        update_fields=["author", "at"],
    )


def newest_edit(tunnel: Tunnel) -> datetime | None:
    """Return the time of the last edit, which is the version of the draft."""
    newest: datetime | None = tunnel.last_edits.aggregate(at=Max("at"))["at"]
    return newest


def key_version_of(tunnel: Tunnel) -> datetime | None:
    """Return the time of the last preshared key edit, because a form may not show the key."""
    last_edit = tunnel.last_edits.filter(field=KEY_FIELD).first()
    return last_edit.at if last_edit else None


def edits_since(tunnel: Tunnel, version: datetime | None) -> LastEdits:
    """Return the last edit of each field that was edited after this version, oldest first."""
    last_edits = tunnel.last_edits.select_related("author").order_by("at")
    return last_edits if version is None else last_edits.filter(at__gt=version)


def check_draft_version(
    tunnel: Tunnel, author: User, seen: SeenVersion, fields: Iterable[str] | None = None
) -> None:
    """Raise EditConflict if another user edited the draft, or these fields, after `seen`."""
    if seen is VERSION_UNKNOWN:
        return
    edits = edits_since(tunnel, seen).exclude(author=author)
    later = list(edits if fields is None else edits.filter(field__in=fields))
    if later:
        name, at = author_name(later[-1].author), time_of_day(later[-1].at)
        text = f"{name} changed this tunnel at {at}, after you opened it. Review the changes again."
        raise EditConflict(Problem("", text))


def check_field_version(
    tunnel: Tunnel, field: str, seen: object, saved: object, change: str
) -> None:
    """Raise EditConflict if `saved` is not the value that the editor saw.

    `change` is the part of the message that names the saved value, such as " to AES256".
    """
    if seen is not VERSION_UNKNOWN and seen != saved:
        raise EditConflict(conflict(tunnel, field, change))


def conflict(tunnel: Tunnel, field: str, change: str, remedy: str = SAVE_AGAIN) -> Problem:
    """Return the problem that names the other editor, the change, its time and the remedy."""
    last_edit = tunnel.last_edits.filter(field=field).select_related("author").first()
    name = author_name(last_edit.author if last_edit else None)
    when = f" at {time_of_day(last_edit.at)}" if last_edit else ""
    text = f"{name} changed this{change}{when}, while you were editing. {remedy}"
    return Problem(field, text)


def author_name(author: User | None) -> str:
    """Return the name of an editor for the start of a sentence."""
    return author.get_username() if author else FORMER_USER
