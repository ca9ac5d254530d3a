"""State labels of all tunnels at once, for filters and counts: the kept rank, or Unknown.

The rank of a tunnel is the place of its `TunnelState.label` in StateLabel. Triggers keep it in
`TunnelSummary.rank`. Only whether a concentrator is online depends on the time, so a query adds it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Case, Count, F, Q, QuerySet, SmallIntegerField, Value, When
from django.utils import timezone

from vpnportal.models import Concentrator, TunnelSummary
from vpnportal.services.state_labels import STATE_RANKS, StateLabel

# Summaries with the annotation `state`, which is no column.
RankedTunnels = QuerySet[Any]
UNKNOWN = STATE_RANKS[StateLabel.UNKNOWN]
# The labels that are a status of SAs, which an offline concentrator does not report.
REPORTED = tuple(
    STATE_RANKS[label]
    for label in (
        *(StateLabel.DOWN, StateLabel.WAITING_FOR_PEER, StateLabel.DEGRADED),
        *(StateLabel.OLD_SETTINGS, StateLabel.CONNECTING, StateLabel.UP),
        *(StateLabel.DISCONNECTING, StateLabel.DISCONNECTED),
    )
)


def with_state_rank(summaries: QuerySet[TunnelSummary]) -> RankedTunnels:
    """Annotate each summary with `state`, the rank of the tunnel's label now."""
    state = Case(
        When(_is_unknown(offline()), then=Value(UNKNOWN)),
        default=F("rank"),
        output_field=SmallIntegerField(),
    )
    return summaries.annotate(state=state)


def in_state(summaries: QuerySet[Any], rank: int) -> QuerySet[Any]:
    """Return the summaries of the tunnels in a state."""
    away = offline()
    if rank == UNKNOWN:
        return summaries.filter(_is_unknown(away))
    found = summaries.filter(rank=rank)
    return found.exclude(reported_by__in=away) if rank in REPORTED and away else found


def count_by_state(summaries: QuerySet[Any]) -> tuple[dict[int, int], int]:
    """Return the number of tunnels by rank, and that of tunnels with pending changes; one query."""
    away = offline()
    by_rank: dict[int, int] = {}
    changed = 0
    columns = ("rank", "reported_by", "is_changed")
    for rank, reported_by, is_changed, count in (
        summaries.order_by().values_list(*columns).annotate(count=Count("*"))
    ):
        shown = UNKNOWN if rank in REPORTED and reported_by in away else rank
        by_rank[shown] = by_rank.get(shown, 0) + count
        changed += count if is_changed else 0
    return by_rank, changed


def offline() -> Collection[int]:
    """Return the ids of the offline concentrators, in one query."""
    now = timezone.now()
    rows = Concentrator.objects.only("seen_at", "unreachable_reason")
    return [row.pk for row in rows if not row.is_online(now)]


def _is_unknown(away: Collection[int]) -> Q:
    return Q(rank__in=REPORTED, reported_by__in=away)
