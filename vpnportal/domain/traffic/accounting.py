"""Accounting of traffic: new counts per tunnel between two samples of charon's CHILD_SAs.

A tunnel whose counters and SAs did not change produces no delta, and therefore no write.
"""

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

# The final counters of a CHILD_SA may be read after the first sample without that CHILD_SA.
LATE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class TrafficDelta:
    """The changes of one tunnel since its last delta.

    `ike_sas` is None if no IKE_SAs were sampled. `loaded_pairs` are the traffic selectors of the
    loaded connection, or None without a connection. `pairs` maps traffic selectors to traffic.
    `has_sa_change` is set if an SA started or ended; recorders write such deltas first.
    """

    at: datetime
    ike_sas: tuple[IkeSaSample, ...] | None = None
    loaded_pairs: frozenset[str] | None = None
    pairs: dict[str, SelectorTraffic] = field(default_factory=dict)
    has_sa_change: bool = False

    def merge(self, later: TrafficDelta) -> TrafficDelta:
        """Return one delta with the traffic of this and a later delta, and the latest SAs."""
        pairs = {**self.pairs}
        for pair, traffic in later.pairs.items():
            pairs[pair] = pairs[pair].plus(traffic) if pair in pairs else traffic
        return TrafficDelta(
            later.at,
            self.ike_sas if later.ike_sas is None else later.ike_sas,
            self.loaded_pairs if later.loaded_pairs is None else later.loaded_pairs,
            pairs,
            self.has_sa_change or later.has_sa_change,
        )


class TrafficAccountant:
    """The last counters of every CHILD_SA, and the last SAs of every tunnel.

    Each public method returns a dict from tunnel id to delta.
    """

    def __init__(self, saved: Mapping[int, tuple[IkeSaSample, ...]], at: datetime | None) -> None:
        """Start from the saved samples by tunnel id; their counters were last current at `at`."""
        self._sas = {tunnel: _identity(ike_sas) for tunnel, ike_sas in saved.items() if ike_sas}
        self._last = {
            child_sa.id: (child_sa.counts, max(at or child_sa.installed_at, child_sa.installed_at))
            for ike_sas in saved.values()
            for ike_sa in ike_sas
            for child_sa in ike_sa.child_sas
        }

    def sample(
        self,
        loaded: Mapping[str, LoadedConnection],
        ike_sas: Iterable[IkeSaSample],
        at: datetime,
        tunnel: int | None = None,
    ) -> dict[int, TrafficDelta]:
        """Return the deltas of a sample of all tunnels, or of one tunnel if `tunnel` is set."""
        running: dict[int, list[IkeSaSample]] = defaultdict(list)
        for ike_sa in ike_sas:
            running[tunnel_id(ike_sa.connection)].append(ike_sa)
        deltas = {}
        for number in {*running, *(self._sas if tunnel is None else (tunnel,))}:
            connection = loaded.get(connection_of(number))
            if delta := self._delta(number, connection, running.get(number, []), at):
                deltas[number] = delta
        if tunnel is None:
            self._forget(at - LATE)
        return deltas

    def count_final(self, ike_sas: Iterable[IkeSaSample], at: datetime) -> dict[int, TrafficDelta]:
        """Return the deltas from the final counters of CHILD_SAs that ended or were rekeyed."""
        deltas: dict[int, TrafficDelta] = {}
        for ike_sa in ike_sas:
            delta = self._count(ike_sa.child_sas, at)
            if delta.pairs:
                tunnel = tunnel_id(ike_sa.connection)
                deltas[tunnel] = deltas[tunnel].merge(delta) if tunnel in deltas else delta
        return deltas

    def _delta(
        self,
        tunnel: int,
        connection: LoadedConnection | None,
        running: list[IkeSaSample],
        at: datetime,
    ) -> TrafficDelta | None:
        names = connection.names if connection else frozenset()
        ike_sas = tuple(_with_older(ike_sa, names) for ike_sa in running)
        last, current = self._sas.get(tunnel, ()), _identity(ike_sas)
        delta = self._count((child for ike_sa in ike_sas for child in ike_sa.child_sas), at)
        if current:
            self._sas[tunnel] = current
        else:
            self._sas.pop(tunnel, None)
        if current == last and not delta.pairs:
            return None
        pairs = _pairs(connection)
        return replace(delta, ike_sas=ike_sas, loaded_pairs=pairs, has_sa_change=current != last)

    def _count(self, child_sas: Iterable[ChildSaSample], at: datetime) -> TrafficDelta:
        pairs: dict[str, SelectorTraffic] = {}
        for child in child_sas:
            last, since = self._last.get(child.id, (NOTHING, child.installed_at))
            self._last[child.id] = (child.counts, at)
            counts = child.counts.since(last)
            if counts != NOTHING:
                minutes = by_minute(TrafficInterval(counts, since, at))
                new = SelectorTraffic(counts, child.installed_at, minutes)
                pairs[child.pair] = pairs[child.pair].plus(new) if child.pair in pairs else new
        return TrafficDelta(at, pairs=pairs)

    def _forget(self, before: datetime) -> None:
        """Drop the counters of CHILD_SAs that no sample since `before` contains."""
        self._last = {id: last for id, last in self._last.items() if last[1] >= before}


def _identity(ike_sas: Iterable[IkeSaSample]) -> tuple[Any, ...]:
    """Return the ids and states of the SAs, to compare two samples without counters and times."""
    return tuple(
        (ike_sa.id, *((child.id, child.state, child.older) for child in ike_sa.child_sas))
        for ike_sa in ike_sas
    )


def _with_older(ike_sa: IkeSaSample, names: frozenset[str]) -> IkeSaSample:
    """Mark the CHILD_SAs whose names are not loaded."""
    if all(child.name in names for child in ike_sa.child_sas):
        return ike_sa
    child_sas = (replace(child, older=child.name not in names) for child in ike_sa.child_sas)
    return replace(ike_sa, child_sas=tuple(child_sas))


def _pairs(connection: LoadedConnection | None) -> frozenset[str] | None:
    if connection is None:
        return None
    return frozenset(pair_of(child.local_ts, child.remote_ts) for child in connection.children)
