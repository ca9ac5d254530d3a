"""The pairs of subnets of a tunnel as rows: how each stands, what carries it, and its last hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from vpnportal.domain.gateway_config.compile import selectors, suites
from vpnportal.domain.traffic.counters import IkeSaSample, TrafficCounts
from vpnportal.domain.traffic.hour_chart import HourChart, build_hour_chart, looked_at
from vpnportal.domain.traffic.subnet_pairs import SubnetPair, match_pairs
from vpnportal.domain.traffic.units import packets, size
from vpnportal.domain.tunnel.algorithms import Suite, suite_words
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Traffic, Tunnel
from vpnportal.services import TunnelState
from vpnportal.web.tunnel.diagram import folded

# So many pairs are seen at once and so many at all, and so many subnets of one; the rest is told in
# words.
SHOWN, MOST, SUBNETS = 10, 200, 8
OLDER, PARTIAL = Tunnel.SaStatus.OLDER.label, Tunnel.SaStatus.PARTIAL.label
UP, DOWN = Tunnel.SaStatus.UP.label, Tunnel.SaStatus.DOWN.label
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """Subnets that one association carries, or should. `together` is how many pairs they are.

    `seen` is how it stood when it was seen last, if that is not now. `applied` are the algorithms
    that are applied, if others are in force.
    """

    local: tuple[str, ...]
    remote: tuple[str, ...]
    together: int
    word: str
    seen: str
    in_force: str
    applied: str
    incoming: tuple[str, str] | None
    outgoing: tuple[str, str] | None
    hour: HourChart
    rekey_at: datetime | None
    ends_at: datetime | None


def rows(
    spec: TunnelSpec,
    state: TunnelState,
    lines: tuple[IkeSaSample, ...],
    traffic: Traffic | None,
    watched: Sequence[Sequence[int]],
) -> list[Row]:
    """All of them; `watched` are the spans of minutes that somebody looked at."""
    sums, (_, applied) = traffic.pairs if traffic else {}, suites(spec)
    minutes, measured = traffic.minutes if traffic else {}, looked_at(watched)
    now = timezone.now()
    return [
        _row(
            *(one, state, applied, sums.get(one.name)),
            build_hour_chart(minutes.get(one.name, ()), measured, now),
        )
        for one in match_pairs(selectors(spec), lines)
    ]


def folded_rows(several: list[Row]) -> dict[str, Any]:
    """The first of many, those that are not well before the others; the rest for who opens it."""
    if len(several) > SHOWN:
        several = sorted(several, key=lambda row: (row.seen or row.word) == UP)
    return {
        "rows": several[:SHOWN],
        "more": several[SHOWN:MOST],
        "more_in_words": _counted(several[SHOWN:]),
        "beyond": max(0, len(several) - MOST),
    }


def _row(
    pair: SubnetPair,
    state: TunnelState,
    applied: Suite,
    sums: list[Any] | None,
    last_hour: HourChart,
) -> Row:
    carrier, amounts = pair.child_sa, TrafficCounts(*sums[1:]) if sums else None
    seen = _seen(pair, state)
    unknown = state.sa_status == UNKNOWN
    return Row(
        folded(pair.local_ts, SUBNETS),
        folded(pair.remote_ts, SUBNETS),
        len(pair.local_ts) * len(pair.remote_ts),
        UNKNOWN if unknown else seen,
        seen if unknown else "",
        suite_words(carrier.suite) if carrier else "",
        suite_words(applied) if carrier and carrier.suite.differs_from(applied) else "",
        (size(amounts.bytes_in), packets(amounts.packets_in)) if amounts else None,
        (size(amounts.bytes_out), packets(amounts.packets_out)) if amounts else None,
        last_hour,
        carrier.rekey_at if carrier else None,
        carrier.ends_at if carrier else None,
    )


def _seen(pair: SubnetPair, state: TunnelState) -> str:
    if pair.child_sa:
        return OLDER if pair.child_sa.older else UP
    # The word of the whole tunnel, such as "connecting", unless others of its pairs are up.
    word = state.last_sa_status if state.sa_status == UNKNOWN else state.sa_status
    return DOWN if word in (UP, OLDER, PARTIAL) else word


def _counted(rows: list[Row]) -> str:
    """How many there are, by their words, such as 21 more: 1 down, 20 up."""
    words = Counter(row.word for row in rows)
    return f"{len(rows):,} more: " + ", ".join(f"{words[word]:,} {word}" for word in sorted(words))
