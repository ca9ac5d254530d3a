"""Every revision of a tunnel with what it changed: the newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs
from vpnportal.encryption import CannotOpen
from vpnportal.models import Revision, Tunnel
from vpnportal.models.revisions import RevisionQuerySet


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A revision, and what differs from the one before it.

    `changes` is None where one of the two cannot be opened any more.
    """

    revision: Revision
    changes: tuple[Change, ...] | None


def revisions_of(tunnel: Tunnel) -> RevisionQuerySet:
    """All of them, newest first, with what a history tells of each."""
    rows: RevisionQuerySet = tunnel.revisions.select_related("author", "concentrator")
    return rows.order_by("-number")


def entries(rows: list[Revision], before: Revision | None) -> list[HistoryEntry]:
    """These neighbours, newest first, as a history tells them; `before` is the one before them.

    Each specification is opened once.
    """
    opened = [(row, _spec(row)) for row in (*rows, *([before] if before else []))]
    told = [
        HistoryEntry(row, _changes(older, spec)) for (row, spec), (_, older) in pairwise(opened)
    ]
    if before is None and opened:
        first, spec = opened[-1]
        told.append(HistoryEntry(first, diff_specs(None, spec) if spec else None))
    return told


def newest(tunnel: Tunnel, count: int) -> list[HistoryEntry]:
    """The last few; one query."""
    rows = list(revisions_of(tunnel)[: count + 1])
    return entries(rows[:count], rows[count] if rows[count:] else None)


def page_of(tunnel: Tunnel, shown: Iterable[Revision]) -> list[HistoryEntry]:
    """A page of `revisions_of`; one more query for the one before its last."""
    rows = list(shown)
    older = revisions_of(tunnel).filter(number__lt=rows[-1].number) if rows else None
    return entries(rows, older.first() if older is not None else None)


def differences(one: Revision, other: Revision) -> tuple[Change, ...] | None:
    """What differs between two revisions; None where one of them cannot be opened."""
    return _changes(_spec(one), _spec(other))


def _changes(before: TunnelSpec | None, after: TunnelSpec | None) -> tuple[Change, ...] | None:
    return diff_specs(before, after) if before and after else None


def _spec(revision: Revision) -> TunnelSpec | None:
    try:
        return revision.spec()
    except CannotOpen:
        return None
