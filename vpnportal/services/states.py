"""How a tunnel stands: what is applied, what is pending, and whether the association is up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone

from vpnportal.domain.changes import Change, changes
from vpnportal.models import Concentrator, Departure, Revision, Tunnel


@dataclass(frozen=True, slots=True)
class State:
    """What a page says of one tunnel.

    `latest` is the newest revision whatever became of it; `live` the one the concentrator holds.
    `association` is "up", "partly up", "connecting", "down", or "unknown" when the concentrator
    is out of sight (then `seen` is what was seen last and `seen_at` when).
    `unreachable` says in words why nothing can be seen. `leaving` are the concentrators
    that a tunnel which was cancelled or moved has not left yet.
    """

    latest: Revision | None
    live: Revision | None
    pending: tuple[Change, ...]
    association: str
    seen: str
    seen_at: datetime | None
    unreachable: str
    cancelled: bool = False
    leaving: tuple[str, ...] = ()

    @property
    def applying(self) -> bool:
        """Whether the newest revision still waits for its outcome."""
        return self.latest is not None and self.latest.unfinished

    @property
    def locked(self) -> bool:
        """Whether edits are refused now."""
        return self.latest is not None and self.applying and not self.latest.waits_too_long

    @property
    def word(self) -> str:
        """The state in one word for a list."""
        if self.cancelled:
            return "being cancelled" if self.leaving else "cancelled"
        if self.latest is None:
            return "never applied"
        if self.applying:
            return str(self.latest.outcome)
        if self.latest.outcome == Revision.Outcome.FAILED:
            return "failed"
        return self.association


def state_of(tunnel: Tunnel) -> State:
    """The state of one tunnel, in a constant number of queries."""
    return states_of([tunnel])[tunnel.pk]


def states_of(tunnels: Iterable[Tunnel]) -> dict[int, State]:
    """The states by tunnel id; the number of queries does not depend on how many there are."""
    rows = list(tunnels)
    prefetch_related_objects(rows, "subnets", "translations", "concentrator")
    newest: dict[int, Revision] = {}
    standing: dict[int, Revision] = {}
    live: dict[int, Revision] = {}
    for revision in _relevant(rows):
        newest.setdefault(revision.tunnel_id, revision)
        if revision.unfinished or revision.outcome == Revision.Outcome.LIVE:
            standing.setdefault(revision.tunnel_id, revision)
        if revision.outcome == Revision.Outcome.LIVE:
            live.setdefault(revision.tunnel_id, revision)
    leaving: dict[int, tuple[str, ...]] = {}
    left = Departure.objects.open().filter(tunnel__in=rows)
    for tunnel_id, name in left.values_list("tunnel_id", "concentrator__name"):
        leaving[tunnel_id] = (*leaving.get(tunnel_id, ()), name)
    now = timezone.now()
    return {
        row.pk: replace(
            _state(row, newest.get(row.pk), standing.get(row.pk), live.get(row.pk), now),
            leaving=leaving.get(row.pk, ()),
        )
        for row in rows
    }


def _relevant(rows: list[Tunnel]) -> Iterable[Revision]:
    """Newest first: the newest of each tunnel, and every one that stands."""
    newest = Revision.objects.filter(tunnel=OuterRef("tunnel")).order_by("-number")
    return (
        Revision.objects.filter(tunnel__in=rows)
        .annotate(newest=Subquery(newest.values("number")[:1]))
        .filter(
            Q(number=F("newest")) | Q(outcome__in=(*Revision.UNFINISHED, Revision.Outcome.LIVE))
        )
        .select_related("author", "concentrator")
        .order_by("-number")
    )


def _state(
    tunnel: Tunnel,
    latest: Revision | None,
    standing: Revision | None,
    live: Revision | None,
    now: datetime,
) -> State:
    seen = tunnel.get_association_display() or "down"
    # A tunnel that moves is seen where it runs, which is not where its draft is.
    concentrator = live.concentrator if live else tunnel.concentrator
    in_sight = concentrator.in_sight(now)
    return State(
        latest=latest,
        live=live,
        pending=()
        if tunnel.cancelled_at
        else changes(standing.spec() if standing else None, tunnel.draft()),
        association=seen if in_sight else "unknown",
        seen=seen,
        seen_at=concentrator.seen_at,
        unreachable=_unreachable(concentrator, in_sight),
        cancelled=tunnel.cancelled_at is not None,
    )


def _unreachable(concentrator: Concentrator, in_sight: bool) -> str:
    if in_sight:
        return ""
    if concentrator.unreachable_reason:
        return concentrator.unreachable_reason
    if concentrator.seen_at is None:
        return f"Nobody has looked at the concentrator {concentrator.name} yet."
    return f"Nothing was heard from the concentrator {concentrator.name} lately."
