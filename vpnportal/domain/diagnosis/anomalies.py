"""What is odd about running tunnels: seen by comparing what charon lists with what it listed.

The facts of a tunnel are JSON-able and empty while all is well, so that quiet tunnels cost
nothing: {"narrowed": [local, remote], "one_way_since": ISO 8601, "duplicates": number,
"downs": [ISO 8601, …]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.planning.stale_sas import by_connection

# So many packets, for so long, without one that came back, are no accident.
ONE_WAY_PACKETS, ONE_WAY = 3, timedelta(seconds=10)
# A younger CHILD_SA may be there to take the place of the other.
SETTLED_SECONDS = 5
# Children that go down together count once.
TOGETHER, DOWNS_LAST, DOWNS = timedelta(seconds=2), timedelta(minutes=5), 10

Anomalies = dict[str, Any]


class _Mark(NamedTuple):
    """The counters of a child when a packet came in last, and when that was seen."""

    packets_in: int
    packets_out: int
    at: datetime


class AnomalyDetector:
    """The facts of the tunnels that have any; others are not in memory, but for their counters."""

    def __init__(self, facts: Mapping[int, Anomalies]) -> None:
        """`facts` are those that were kept."""
        self._facts = dict(facts)
        self._marks: dict[str, _Mark] = {}

    def went_down(self, tunnel: int, at: datetime) -> dict[int, Anomalies]:
        """A child went down. The answer has the tunnel's facts if they changed, as below."""
        facts = dict(self._facts.get(tunnel, {}))
        downs = _recent(facts.get("downs", ()), at)
        if not downs or at - datetime.fromisoformat(downs[-1]) > TOGETHER:
            facts["downs"] = [*downs, at.isoformat()][-DOWNS:]
        return self._change({tunnel: facts})

    def loaded(self, tunnel: int) -> dict[int, Anomalies]:
        """New settings: how often the older ones went down says nothing any more."""
        facts = {
            name: fact for name, fact in self._facts.get(tunnel, {}).items() if name != "downs"
        }
        return self._change({tunnel: facts})

    def observe(
        self,
        loaded: Mapping[str, LoadedConnection],
        running: Iterable[IkeSa],
        at: datetime,
        everything: bool,
    ) -> dict[int, Anomalies]:
        """Compare connections and what runs of them with what was seen before."""
        sas, now = by_connection(running), {}
        marks: dict[str, _Mark] = {} if everything else self._marks
        for name, shape in loaded.items():
            children = [
                child for sa in sas[name] for child in sa.children if child.state == "INSTALLED"
            ]
            for child in children:
                marks[child.unique_id] = self._mark(child, at)
            now[tunnel_id(name)] = _facts(shape, children, marks, at)
        self._marks = marks
        gone = self._facts.keys() - now.keys() if everything else ()
        for tunnel in (*now, *gone):
            downs = _recent(self._facts.get(tunnel, {}).get("downs", ()), at)
            now[tunnel] = {**now.get(tunnel, {}), **({"downs": downs} if downs else {})}
        return self._change(now)

    def _mark(self, child: ChildSa, at: datetime) -> _Mark:
        mark = self._marks.get(child.unique_id)
        if mark is None and not child.packets_in:
            return _Mark(0, 0, at - timedelta(seconds=child.installed_seconds))
        if mark is None or mark.packets_in != child.packets_in:
            return _Mark(child.packets_in, child.packets_out, at)
        return mark

    def _change(self, now: Mapping[int, Anomalies]) -> dict[int, Anomalies]:
        changed = {
            tunnel: facts for tunnel, facts in now.items() if facts != self._facts.get(tunnel, {})
        }
        for tunnel, facts in changed.items():
            if facts:
                self._facts[tunnel] = facts
            else:
                self._facts.pop(tunnel, None)
        return changed


def _facts(
    shape: LoadedConnection, children: Iterable[ChildSa], marks: Mapping[str, _Mark], at: datetime
) -> Anomalies:
    wanted = {one.name: one for one in shape.children}
    settled: dict[str, int] = {}
    facts: Anomalies = {}
    for child in children:
        one = wanted.get(child.name)
        if one and (set(child.local_ts), set(child.remote_ts)) != (
            set(one.local_ts),
            set(one.remote_ts),
        ):
            facts["narrowed"] = [sorted(child.local_ts), sorted(child.remote_ts)]
        if child.installed_seconds >= SETTLED_SECONDS:
            settled[child.name] = settled.get(child.name, 0) + 1
        mark = marks[child.unique_id]
        if child.packets_out - mark.packets_out >= ONE_WAY_PACKETS and at - mark.at >= ONE_WAY:
            facts["one_way_since"] = mark.at.isoformat()
    if (most := max(settled.values(), default=0)) > 1:
        facts["duplicates"] = most
    return facts


def _recent(downs: Iterable[str], at: datetime) -> list[str]:
    return [one for one in downs if at - datetime.fromisoformat(one) <= DOWNS_LAST]
