"""Rows of the Status section: SA status, proposal and traffic of each subnet pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from vpnportal.domain.gateway_config.compile import selectors, suites
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.traffic.counters import IkeSaSample, TrafficCounts
from vpnportal.domain.traffic.hour_chart import HourChart, build_hour_chart, expand_spans
from vpnportal.domain.traffic.subnet_pairs import SubnetPair, match_pairs
from vpnportal.domain.traffic.units import packets, size
from vpnportal.domain.tunnel.algorithms import Suite, suite_words
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Traffic
from vpnportal.services import StateLabel, TunnelState
from vpnportal.web.tunnel.diagram import folded

# The page shows MAX_VISIBLE rows at first and MAX_ROWS in all. IKEv2 may have one child for
# hundreds of subnets: a row names MAX_SUBNETS of each side.
MAX_VISIBLE, MAX_ROWS, MAX_SUBNETS = 10, 200, 8
OLDER, PARTIAL = SaStatus.OLDER.label, SaStatus.PARTIAL.label
UP, DOWN = SaStatus.UP.label, SaStatus.DOWN.label


@dataclass(frozen=True, slots=True)
class SubnetPairRow:
    """Subnets that one CHILD_SA carries, or should carry.

    `pair_count` is the number of subnet pairs in the row. `last_label` is the last known SA status
    while the present one is unknown, otherwise "". `applied_proposal` is "" unless the CHILD_SA
    has another proposal than the applied one.
    """

    local: tuple[str, ...]
    remote: tuple[str, ...]
    pair_count: int
    label: str
    last_label: str
    proposal: str
    applied_proposal: str
    incoming: tuple[str, str] | None
    outgoing: tuple[str, str] | None
    hour: HourChart
    rekey_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubnetPairTable:
    """The rows of all subnet pairs: `visible` at first, `folded` under a summary line.

    `omitted` is the number of rows that the page does not show.
    """

    visible: list[SubnetPairRow]
    folded: list[SubnetPairRow]
    folded_summary: str
    omitted: int

    @classmethod
    def of(cls, rows: list[SubnetPairRow]) -> SubnetPairTable:
        """Split the rows; if there are more than MAX_VISIBLE, rows that are not up come first."""
        if len(rows) > MAX_VISIBLE:
            rows = sorted(rows, key=lambda row: (row.last_label or row.label) == UP)
        rest = rows[MAX_VISIBLE:]
        return cls(
            rows[:MAX_VISIBLE], rows[MAX_VISIBLE:MAX_ROWS], _summary(rest), len(rows[MAX_ROWS:])
        )


def subnet_pair_rows(
    spec: TunnelSpec,
    state: TunnelState,
    ike_sas: tuple[IkeSaSample, ...],
    traffic: Traffic | None,
    observed_minutes: Sequence[Sequence[int]],
) -> list[SubnetPairRow]:
    """Return the rows of all subnet pairs.

    `observed_minutes` are [first, last] minutes in which the monitor sampled the concentrator.
    """
    totals, (_, applied) = traffic.pairs if traffic else {}, suites(spec)
    minutes, measured = traffic.minutes if traffic else {}, expand_spans(observed_minutes)
    now = timezone.now()
    return [
        _row(
            *(pair, state, applied, totals.get(pair.name)),
            build_hour_chart(minutes.get(pair.name, ()), measured, now),
        )
        for pair in match_pairs(selectors(spec), ike_sas)
    ]


def count_pairs(spec: TunnelSpec, ike_sas: tuple[IkeSaSample, ...]) -> tuple[int, int]:
    """Return the number of subnet pairs that are up, and the number of all subnet pairs."""
    pairs = match_pairs(selectors(spec), ike_sas)
    return sum(_size(pair) for pair in pairs if pair.child_sa), sum(map(_size, pairs))


def _row(
    pair: SubnetPair,
    state: TunnelState,
    applied: Suite,
    totals: list[Any] | None,
    last_hour: HourChart,
) -> SubnetPairRow:
    child_sa, counts = pair.child_sa, TrafficCounts(*totals[1:]) if totals else None
    last_label = _last_label(pair, state)
    return SubnetPairRow(
        local=folded(pair.local_ts, MAX_SUBNETS),
        remote=folded(pair.remote_ts, MAX_SUBNETS),
        pair_count=_size(pair),
        label=StateLabel.UNKNOWN if state.is_unknown else last_label,
        last_label=last_label if state.is_unknown else "",
        proposal=suite_words(child_sa.suite) if child_sa else "",
        applied_proposal=(
            suite_words(applied) if child_sa and child_sa.suite.differs_from(applied) else ""
        ),
        incoming=(size(counts.bytes_in), packets(counts.packets_in)) if counts else None,
        outgoing=(size(counts.bytes_out), packets(counts.packets_out)) if counts else None,
        hour=last_hour,
        rekey_at=child_sa.rekey_at if child_sa else None,
        ends_at=child_sa.ends_at if child_sa else None,
    )


def _size(pair: SubnetPair) -> int:
    return len(pair.local_ts) * len(pair.remote_ts)


def _last_label(pair: SubnetPair, state: TunnelState) -> str:
    if pair.child_sa:
        return OLDER if pair.child_sa.older else UP
    # A pair without a CHILD_SA has the status of the tunnel, such as "Connecting", unless that
    # status is about other pairs of the tunnel.
    label = state.last_sa_status if state.is_unknown else state.sa_status
    return DOWN if label in (UP, OLDER, PARTIAL) else label


def _summary(rows: list[SubnetPairRow]) -> str:
    """Return the number of rows in all and by SA status, such as "21 more: 1 Down, 20 Up"."""
    counts = Counter(row.label for row in rows)
    by_label = ", ".join(f"{counts[label]:,} {label}" for label in sorted(counts))
    return f"{len(rows):,} more: {by_label}"
