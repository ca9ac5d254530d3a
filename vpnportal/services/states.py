"""How tunnels stand: what is applied, what is pending, and whether the association is up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from django.db.models import F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone

from vpnportal.domain.changes import changes
from vpnportal.models import Concentrator, Departure, Revision, Tunnel
from vpnportal.services.state import WAITS, Outcome, State


def state_of(tunnel: Tunnel) -> State:
    """The state of one tunnel, in a constant number of queries."""
    return states_of([tunnel])[tunnel.pk]


def states_of(tunnels: Iterable[Tunnel]) -> dict[int, State]:
    """The states by tunnel id; the number of queries does not depend on how many there are."""
    rows = list(tunnels)
    prefetch_related_objects(rows, "subnets", "translations", "concentrator")
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in _relevant(rows):
        revisions[revision.tunnel_id].append(revision)
    leaving: dict[int, tuple[str, ...]] = {}
    left = Departure.objects.open().filter(tunnel__in=rows)
    for tunnel_id, name in left.values_list("tunnel_id", "concentrator__name"):
        leaving[tunnel_id] = (*leaving.get(tunnel_id, ()), name)
    now = timezone.now()
    return {row.pk: _state(row, revisions[row.pk], leaving.get(row.pk, ()), now) for row in rows}


def _relevant(rows: list[Tunnel]) -> Iterable[Revision]:
    """Newest first: of each tunnel the newest, every one that holds, the last taken back."""
    newest = Revision.objects.filter(tunnel=OuterRef("tunnel")).order_by("-number")
    withdrawn = newest.filter(outcome=Outcome.WITHDRAWN)
    holding = (*Revision.UNFINISHED, Outcome.LIVE, Outcome.FALLBACK)
    return (
        Revision.objects.filter(tunnel__in=rows)
        .annotate(
            newest=Subquery(newest.values("number")[:1]),
            withdrawn=Subquery(withdrawn.values("number")[:1]),
        )
        .filter(Q(number=F("newest")) | Q(number=F("withdrawn")) | Q(outcome__in=holding))
        .select_related("author", "concentrator")
        .order_by("-number")
    )


def _state(
    tunnel: Tunnel, revisions: list[Revision], leaving: tuple[str, ...], now: datetime
) -> State:
    latest = _first(revisions, lambda one: True)
    live = _first(revisions, lambda one: one.outcome == Outcome.LIVE)
    standing = _first(revisions, lambda one: one.unfinished or one is live)
    seen = tunnel.get_association_display() or "down"
    if tunnel.association == Tunnel.Association.DOWN and live and live.answers_only:
        seen = WAITS
    # A tunnel that moves is seen where it runs, which is not where its draft is.
    concentrator = live.concentrator if live else tunnel.concentrator
    in_sight = concentrator.in_sight(now)
    cancelled, held = tunnel.cancelled_at is not None, tunnel.held_at is not None
    association = seen
    if held:
        association = "disconnecting" if tunnel.association else "disconnected"
    draft = () if cancelled else changes(standing.opened if standing else None, tunnel.draft())
    return State(
        latest=latest,
        live=live,
        pending=draft,
        association=association if in_sight else "unknown",
        seen=seen,
        seen_at=concentrator.seen_at,
        unreachable=_unreachable(concentrator, in_sight),
        cancelled=cancelled,
        held=held,
        leaving=leaving,
        reserve=_first(revisions, lambda one: one.outcome == Outcome.FALLBACK),
        withdrawn=_taken_back(revisions, latest.restores if latest else None),
    )


def _first(revisions: list[Revision], wanted: Callable[[Revision], bool]) -> Revision | None:
    return next((one for one in revisions if wanted(one)), None)


def _taken_back(revisions: list[Revision], restores: int | None) -> Revision | None:
    """The one in whose place an earlier one came back."""
    if restores is None:
        return None
    return _first(revisions, lambda one: one.outcome == Outcome.WITHDRAWN and one.number > restores)


def _unreachable(concentrator: Concentrator, in_sight: bool) -> str:
    if in_sight:
        return ""
    if concentrator.unreachable_reason:
        return concentrator.unreachable_reason
    if concentrator.seen_at is None:
        return f"Nobody has looked at the concentrator {concentrator.name} yet."
    return f"Nothing was heard from the concentrator {concentrator.name} lately."
