"""Who edited what of a draft last, so that nobody overwrites what they have not seen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal, TypeAlias

from django.contrib.auth.models import User
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.dateformat import format as formatted

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import LastEdit, Tunnel
from vpnportal.services.errors import Refused


class Unknown(Enum):
    """What somebody saw who did not look."""

    UNKNOWN = "unknown"


# Given as what was seen it overwrites whatever is there.
VERSION_UNKNOWN: Final = Unknown.UNKNOWN
# The version of a draft that somebody saw; None for one that nobody had edited.
SeenVersion: TypeAlias = "datetime | Literal[Unknown.UNKNOWN] | None"
LastEdits: TypeAlias = "QuerySet[LastEdit]"
KEY = "preshared_key"
FORMER = "A former user"


class EditConflict(Refused):
    """Somebody else changed the same meanwhile; who saw that may send the same again."""


def note_edits(tunnel: Tunnel, fields: Iterable[str], author: User) -> None:
    """Write down whose edit is the last of these fields; inside the tunnel's lock.

    The times of a tunnel's edits only grow, also while a clock is set back: they are its versions.
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
    """When the draft was edited last: another time is another draft."""
    newest: datetime | None = tunnel.last_edits.aggregate(at=Max("at"))["at"]
    return newest


def key_version_of(tunnel: Tunnel) -> datetime | None:
    """What stands for the preshared key in a form, which may not show the key itself."""
    edit = tunnel.last_edits.filter(field=KEY).first()
    return edit.at if edit else None


def edits_since(tunnel: Tunnel, version: datetime | None) -> LastEdits:
    """The last edit of each field that was edited after this version, oldest first."""
    edits = tunnel.last_edits.select_related("author").order_by("at")
    return edits if version is None else edits.filter(at__gt=version)


def check_draft_version(
    tunnel: Tunnel, author: User, seen: SeenVersion, fields: Iterable[str] | None = None
) -> None:
    """Overtaken if somebody else edited the draft, or these fields of it, after `seen`."""
    if seen is VERSION_UNKNOWN:
        return
    others = edits_since(tunnel, seen).exclude(author=author)
    later = list(others if fields is None else others.filter(field__in=fields))
    if later:
        who, last = author_name(later[-1].author), clock(later[-1].at)
        text = f"{who} changed this tunnel at {last}, after you looked. Look at the changes again."
        raise EditConflict(Problem("", text))


def check_field_version(tunnel: Tunnel, field: str, seen: object, kept: object, words: str) -> None:
    """Overtaken unless what is kept of a field is what its editor saw; `words` tell it to them."""
    if seen is not VERSION_UNKNOWN and seen != kept:
        raise EditConflict(conflict(tunnel, field, words))


def conflict(tunnel: Tunnel, field: str, words: str) -> Problem:
    """Who changed a field meanwhile, to what and when, and what to do about it."""
    edit = tunnel.last_edits.filter(field=field).select_related("author").first()
    who = author_name(edit.author if edit else None)
    when = f" at {clock(edit.at)}" if edit else ""
    text = f"{who} changed this{words}{when}, while you were editing. Save again to overwrite that."
    return Problem(field, text)


def author_name(author: User | None) -> str:
    """The name of an editor, for a sentence to begin with."""
    return author.get_username() if author else FORMER


def clock(at: datetime) -> str:
    """A time of day in its reader's zone, such as 10:03:12 CET."""
    return formatted(timezone.localtime(at), "H:i:s T")
