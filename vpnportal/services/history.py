"""History of a tunnel: its revisions, newest first, with the changes of each."""

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
    """A revision and its changes against the revision before.

    `changes` is None if one of the two does not decrypt.
    """

    revision: Revision
    changes: tuple[Change, ...] | None


def revisions_of(tunnel: Tunnel) -> RevisionQuerySet:
    """Return all revisions of a tunnel, newest first, with author and concentrator loaded."""
    rows: RevisionQuerySet = tunnel.revisions.select_related("author", "concentrator")
    return rows.order_by("-number")


def newest_entries(tunnel: Tunnel, count: int) -> list[HistoryEntry]:
    """Return the history entries of the newest `count` revisions, in one query."""
    revisions = list(revisions_of(tunnel)[: count + 1])
    return _entries(revisions[:count], revisions[count] if revisions[count:] else None)


def history_page(tunnel: Tunnel, page: Iterable[Revision]) -> list[HistoryEntry]:
    """Return the entries of one page of `revisions_of`, with one query more."""
    revisions = list(page)
    if not revisions:
        return []
    before = revisions_of(tunnel).filter(number__lt=revisions[-1].number).first()
    return _entries(revisions, before)


def diff_revisions(older: Revision, newer: Revision) -> tuple[Change, ...] | None:
    """Return the changes between two revisions; None if one of them does not decrypt."""
    return _changes(_spec(older), _spec(newer))


def _entries(revisions: list[Revision], before: Revision | None) -> list[HistoryEntry]:
    """Return the history entries of adjacent revisions, newest first.

    `before` is the revision that precedes the oldest of `revisions`, or None. Each specification is
    decrypted once.
    """
    rows = (*revisions, *([before] if before else []))
    specs = [(revision, _spec(revision)) for revision in rows]
    entries = [
        HistoryEntry(revision, _changes(older, spec))
        for (revision, spec), (_, older) in pairwise(specs)
    ]
    if before is None and specs:
        first, spec = specs[-1]
        entries.append(HistoryEntry(first, diff_specs(None, spec) if spec else None))
    return entries


def _changes(before: TunnelSpec | None, after: TunnelSpec | None) -> tuple[Change, ...] | None:
    return diff_specs(before, after) if before and after else None


def _spec(revision: Revision) -> TunnelSpec | None:
    try:
        return revision.spec()
    except CannotOpen:
        return None
