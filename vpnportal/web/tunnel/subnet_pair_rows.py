"""The pairs of subnets of a tunnel as rows: how each stands, what carries it, and its last hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from vpnportal.domain.gateway_config.compile import selectors, suites
from vpnportal.domain.traffic.counters import Amounts, Line
from vpnportal.domain.traffic.hour_chart import Hour, hour, looked_at
from vpnportal.domain.traffic.subnet_pairs import Pair, pairs
from vpnportal.domain.traffic.units import packets, size
from vpnportal.domain.tunnel.algorithms import Suite, suite_words
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Traffic, Tunnel
from vpnportal.services import State
from vpnportal.web.tunnel.diagram import folded

# So many pairs are seen at once and so many at all, and so many subnets of one; the rest is told in
# words.
SHOWN, MOST, SUBNETS = 10, 200, 8
OLDER, PARTIAL = Tunnel.Association.OLDER.label, Tunnel.Association.PARTIAL.label
UP, DOWN = Tunnel.Association.UP.label, Tunnel.Association.DOWN.label
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
    hour: Hour
    rekey_at: datetime | None
    ends_at: datetime | None


def rows(
    spec: TunnelSpec,
    state: State,
    lines: tuple[Line, ...],
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
            hour(minutes.get(one.name, ()), measured, now),
        )
        for one in pairs(selectors(spec), lines)
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


def _row(pair: Pair, state: State, applied: Suite, sums: list[Any] | None, last_hour: Hour) -> Row:
    carrier, amounts = pair.carrier, Amounts(*sums[1:]) if sums else None
    seen = _seen(pair, state)
    unknown = state.association == UNKNOWN
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


def _seen(pair: Pair, state: State) -> str:
    if pair.carrier:
        return OLDER if pair.carrier.older else UP
    # The word of the whole tunnel, such as "connecting", unless others of its pairs are up.
    word = state.seen if state.association == UNKNOWN else state.association
    return DOWN if word in (UP, OLDER, PARTIAL) else word


def _counted(rows: list[Row]) -> str:
    """How many there are, by their words, such as 21 more: 1 down, 20 up."""
    words = Counter(row.word for row in rows)
    return f"{len(rows):,} more: " + ", ".join(f"{words[word]:,} {word}" for word in sorted(words))
