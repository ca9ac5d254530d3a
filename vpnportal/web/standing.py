"""What the Status section shows of one tunnel, from its newest live revision and what was counted.

Unknown is never shown as down: what was seen last is told with its age.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from vpnportal.domain.algorithms import Suite, suite_words
from vpnportal.domain.compile import selectors, suites
from vpnportal.domain.hour import Hour, hour
from vpnportal.domain.pairs import Pair, pairs
from vpnportal.domain.picture import from_json
from vpnportal.domain.quantities import packets, size
from vpnportal.domain.spec import TunnelSpec
from vpnportal.domain.traffic import Amounts, Line
from vpnportal.models import Revision, Traffic, Tunnel
from vpnportal.services import State
from vpnportal.web.drawing import Ends, beside, column, folded, in_words

# So many pairs are seen at once and so many at all, and so many subnets of one; the rest is told in
# words.
SHOWN, MOST, SUBNETS = 10, 200, 8
OLDER, PARTIAL = Tunnel.Association.OLDER.label, Tunnel.Association.PARTIAL.label
UP, DOWN = Tunnel.Association.UP.label, Tunnel.Association.DOWN.label
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of subnets. `seen` is how it stood when it was seen last, if that is not now.

    `applied` are the algorithms that are applied, if others are in force.
    """

    local: tuple[str, ...]
    remote: tuple[str, ...]
    word: str
    seen: str
    in_force: str
    applied: str
    incoming: tuple[str, str] | None
    outgoing: tuple[str, str] | None
    rekey_at: datetime | None
    ends_at: datetime | None


class PhaseOne(NamedTuple):
    """An IKE association: what it runs with, since when, and when it is renewed."""

    version: int
    in_force: str
    applied: str
    established_at: datetime | None
    rekey_at: datetime | None


def standing(tunnel: Tunnel, state: State) -> dict[str, Any]:
    """What `tunnel/_status.html` shows; one query, or none where `traffic` was fetched along."""
    live = state.live
    if live is None:
        return {"drawings": ()}
    spec, traffic = live.opened, _traffic(tunnel, live)
    lines = from_json(traffic.lines) if traffic else ()
    rows = _rows(spec, state, lines, traffic)
    ends = _ends(spec, live)
    return {
        "drawings": (beside(ends), column(ends)),
        "drawn": in_words(ends, state.association),
        "phase_one": [_phase_one(spec, line) for line in lines],
        **_fold(rows),
        "since": _since(traffic),
        "hour": _hour(live, traffic),
    }


def _traffic(tunnel: Tunnel, live: Revision) -> Traffic | None:
    """What a concentrator wrote that the tunnel has left says nothing of the one it is on."""
    traffic = getattr(tunnel, "traffic", None)
    return traffic if traffic and traffic.concentrator_id == live.concentrator_id else None


def _ends(spec: TunnelSpec, live: Revision) -> Ends:
    return Ends(
        tuple(map(str, sorted(spec.hosted_subnets))),
        (str(spec.hosted_peer), live.concentrator.name),
        (str(spec.remote_peer),),
        tuple(map(str, sorted(spec.remote_subnets))),
        sorted(spec.translations, key=lambda row: row.internal),
    )


def _rows(
    spec: TunnelSpec, state: State, lines: tuple[Line, ...], traffic: Traffic | None
) -> list[Row]:
    sums, (_, applied) = traffic.pairs if traffic else {}, suites(spec)
    wanted = pairs(selectors(spec), lines)
    return [_row(one, state, applied, sums.get(one.name)) for one in wanted]


def _row(pair: Pair, state: State, applied: Suite, sums: list[Any] | None) -> Row:
    carrier, amounts = pair.carrier, Amounts(*sums[1:]) if sums else None
    seen = _seen(pair, state)
    unknown = state.association == UNKNOWN
    return Row(
        folded(pair.local_ts, SUBNETS),
        folded(pair.remote_ts, SUBNETS),
        UNKNOWN if unknown else seen,
        seen if unknown else "",
        suite_words(carrier.suite) if carrier else "",
        suite_words(applied) if carrier and carrier.suite.differs_from(applied) else "",
        (size(amounts.bytes_in), packets(amounts.packets_in)) if amounts else None,
        (size(amounts.bytes_out), packets(amounts.packets_out)) if amounts else None,
        carrier.rekey_at if carrier else None,
        carrier.ends_at if carrier else None,
    )


def _seen(pair: Pair, state: State) -> str:
    if pair.carrier:
        return OLDER if pair.carrier.older else UP
    # The word of the whole tunnel, such as "connecting", unless others of its pairs are up.
    word = state.seen if state.association == UNKNOWN else state.association
    return DOWN if word in (UP, OLDER, PARTIAL) else word


def _fold(rows: list[Row]) -> dict[str, Any]:
    """The first of many, those that are not well before the others; the rest for who opens it."""
    if len(rows) > SHOWN:
        rows = sorted(rows, key=lambda row: (row.seen or row.word) == UP)
    return {
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:MOST],
        "more_in_words": _counted(rows[SHOWN:]),
        "beyond": max(0, len(rows) - MOST),
    }


def _counted(rows: list[Row]) -> str:
    """How many there are, by their words, such as 21 more: 1 down, 20 up."""
    words = Counter(row.word for row in rows)
    return f"{len(rows):,} more: " + ", ".join(f"{words[word]:,} {word}" for word in sorted(words))


def _phase_one(spec: TunnelSpec, line: Line) -> PhaseOne:
    applied, _ = suites(spec)
    return PhaseOne(
        line.version,
        suite_words(line.suite),
        suite_words(applied) if line.suite.differs_from(applied) else "",
        line.established_at,
        line.rekey_at,
    )


def _since(traffic: Traffic | None) -> datetime | None:
    """When the first of what is counted was installed."""
    begins = [sums[0] for sums in traffic.pairs.values()] if traffic else []
    return datetime.fromisoformat(min(begins)) if begins else None


def _hour(live: Revision, traffic: Traffic | None) -> Hour:
    minutes = traffic.minutes if traffic else []
    return hour(minutes, live.concentrator.watched, timezone.now())
