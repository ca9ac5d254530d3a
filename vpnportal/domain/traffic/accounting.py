"""Adds up what tunnels carry, look by look: a tunnel whose counters stand still costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import connection_of, tunnel_id
from vpnportal.domain.traffic.counters import (
    NOTHING,
    ChildSaSample,
    IkeSaSample,
    SelectorTraffic,
    TrafficInterval,
    by_minute,
    pair_of,
)

# The event that a child ended may be read after the look that did not find it any more.
LATE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class TrafficDelta:
    """What is new of one tunnel: what runs now, and what it carried since it was told last.

    `lines` is None where nobody looked. `pairs` are by selectors, each since the first of them was
    installed. `turned` tells that something began or ended, which is told sooner than a counter.
    """

    at: datetime
    ike_sas: tuple[IkeSaSample, ...] | None = None
    wanted: frozenset[str] | None = None
    pairs: dict[str, SelectorTraffic] = field(default_factory=dict)
    turned: bool = False

    def and_then(self, later: TrafficDelta) -> TrafficDelta:
        """Both as one, while none of them is told."""
        pairs = {**self.pairs}
        for pair, tally in later.pairs.items():
            pairs[pair] = pairs[pair].plus(tally) if pair in pairs else tally
        return TrafficDelta(
            later.at,
            self.ike_sas if later.ike_sas is None else later.ike_sas,
            self.wanted if later.wanted is None else later.wanted,
            pairs,
            self.turned or later.turned,
        )


class TrafficAccountant:
    """What every child had counted when somebody looked last, and what each tunnel looked like."""

    def __init__(self, known: Mapping[int, tuple[IkeSaSample, ...]], at: datetime | None) -> None:
        """`known` is what was told of each tunnel; nothing of it had changed at `at`."""
        self._looks = {tunnel: _look(lines) for tunnel, lines in known.items() if lines}
        self._marks = {
            carrier.id: (carrier.counts, max(at or carrier.installed_at, carrier.installed_at))
            for lines in known.values()
            for line in lines
            for carrier in line.child_sas
        }

    def sample(
        self,
        loaded: Mapping[str, LoadedConnection],
        lines: Iterable[IkeSaSample],
        at: datetime,
        tunnel: int | None = None,
    ) -> dict[int, TrafficDelta]:
        """What is new by tunnel, now that everything was looked at, or one tunnel."""
        running: dict[int, list[IkeSaSample]] = defaultdict(list)
        for line in lines:
            running[tunnel_id(line.connection)].append(line)
        looked_at = {*running, *(self._looks if tunnel is None else (tunnel,))}
        new = {}
        for one in looked_at:
            shape = loaded.get(connection_of(one))
            if carried := self._carried(one, shape, running.get(one, []), at):
                new[one] = carried
        if tunnel is None:
            self._forget(at - LATE)
        return new

    def ended(self, lines: Iterable[IkeSaSample], at: datetime) -> dict[int, TrafficDelta]:
        """What children had counted at their end, or when others took their place."""
        new: dict[int, TrafficDelta] = {}
        for line in lines:
            carried = self._count(line.child_sas, at)
            if carried.pairs:
                tunnel = tunnel_id(line.connection)
                new[tunnel] = new[tunnel].and_then(carried) if tunnel in new else carried
        return new

    def _carried(
        self, tunnel: int, shape: LoadedConnection | None, running: list[IkeSaSample], at: datetime
    ) -> TrafficDelta | None:
        names = shape.names if shape else frozenset()
        lines = tuple(_marked(line, names) for line in running)
        before, now = self._looks.get(tunnel, ()), _look(lines)
        counted = self._count((one for line in lines for one in line.child_sas), at)
        if now:
            self._looks[tunnel] = now
        else:
            self._looks.pop(tunnel, None)
        if now == before and not counted.pairs:
            return None
        return replace(counted, ike_sas=lines, wanted=_pairs(shape), turned=now != before)

    def _count(self, carriers: Iterable[ChildSaSample], at: datetime) -> TrafficDelta:
        pairs: dict[str, SelectorTraffic] = {}
        for one in carriers:
            before, since = self._marks.get(one.id, (NOTHING, one.installed_at))
            self._marks[one.id] = (one.counts, at)
            amounts = one.counts.since(before)
            if amounts != NOTHING:
                new = SelectorTraffic(
                    amounts, one.installed_at, by_minute(TrafficInterval(amounts, since, at))
                )
                pairs[one.pair] = pairs[one.pair].plus(new) if one.pair in pairs else new
        return TrafficDelta(at, pairs=pairs)

    def _forget(self, before: datetime) -> None:
        """Children that are gone for long; those that are listed are marked at every look."""
        self._marks = {one: mark for one, mark in self._marks.items() if mark[1] >= before}


def _look(lines: Iterable[IkeSaSample]) -> tuple[Any, ...]:
    """All that shows of a tunnel but its counters and the times, which charon tells in seconds."""
    return tuple((line.id, *((c.id, c.state, c.older) for c in line.child_sas)) for line in lines)


def _marked(line: IkeSaSample, names: frozenset[str]) -> IkeSaSample:
    """With the children that are of earlier settings told from the others."""
    if all(one.name in names for one in line.child_sas):
        return line
    carriers = (replace(one, older=one.name not in names) for one in line.child_sas)
    return replace(line, child_sas=tuple(carriers))


def _pairs(shape: LoadedConnection | None) -> frozenset[str] | None:
    if shape is None:
        return None
    return frozenset(pair_of(one.local_ts, one.remote_ts) for one in shape.children)
