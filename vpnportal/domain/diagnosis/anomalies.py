"""Anomalies of running tunnels, detected by comparing two observations of charon's SAs.

The anomalies of a tunnel are a JSON-serializable dict, empty for a healthy tunnel:
{"narrowed": [local, remote], "one_way_since": ISO 8601, "duplicates": number,
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

# Traffic is one-way after this many packets and this time without a received packet.
ONE_WAY_PACKETS, ONE_WAY_TIME = 3, timedelta(seconds=10)
# A younger CHILD_SA may be the successor in a rekey.
SETTLED_SECONDS = 5
# CHILD_SAs that go down within this time count once.
SIMULTANEOUS = timedelta(seconds=2)
DOWNS_LIFETIME, MAX_DOWNS = timedelta(minutes=5), 10

Anomalies = dict[str, Any]


class _LastReceived(NamedTuple):
    """Packet counters of a CHILD_SA when the incoming counter last changed, and when that was."""

    packets_in: int
    packets_out: int
    at: datetime


class AnomalyDetector:
    """Detector of anomalies that start, change or end.

    Each public method returns a dict from tunnel id to anomalies, for changed tunnels only.
    """

    def __init__(self, anomalies: Mapping[int, Anomalies]) -> None:
        """Start from the saved anomalies by tunnel id."""
        self._anomalies = dict(anomalies)
        self._last_received: dict[str, _LastReceived] = {}

    def child_down(self, tunnel: int, at: datetime) -> dict[int, Anomalies]:
        """Count a CHILD_SA of the tunnel that went down."""
        anomalies = dict(self._anomalies.get(tunnel, {}))
        downs = _recent(anomalies.get("downs", ()), at)
        if not downs or at - datetime.fromisoformat(downs[-1]) > SIMULTANEOUS:
            anomalies["downs"] = [*downs, at.isoformat()][-MAX_DOWNS:]
        return self._update({tunnel: anomalies})

    def settings_loaded(self, tunnel: int) -> dict[int, Anomalies]:
        """Drop the downs of a tunnel, because they belong to the earlier settings."""
        anomalies = {
            name: value
            for name, value in self._anomalies.get(tunnel, {}).items()
            if name != "downs"
        }
        return self._update({tunnel: anomalies})

    def observe(
        self,
        loaded: Mapping[str, LoadedConnection],
        running: Iterable[IkeSa],
        at: datetime,
        is_full: bool,
    ) -> dict[int, Anomalies]:
        """Compare the SAs of loaded connections with the previous observation.

        If `is_full` is set, tunnels without a loaded connection keep only their recent downs.
        """
        sas, current = by_connection(running), {}
        received: dict[str, _LastReceived] = {} if is_full else self._last_received
        for name, connection in loaded.items():
            children = [
                child for sa in sas[name] for child in sa.children if child.state == "INSTALLED"
            ]
            for child in children:
                received[child.unique_id] = self._received(child, at)
            current[tunnel_id(name)] = _anomalies(connection, children, received, at)
        self._last_received = received
        unloaded = self._anomalies.keys() - current.keys() if is_full else ()
        for tunnel in (*current, *unloaded):
            downs = _recent(self._anomalies.get(tunnel, {}).get("downs", ()), at)
            current[tunnel] = {**current.get(tunnel, {}), **({"downs": downs} if downs else {})}
        return self._update(current)

    def _received(self, child: ChildSa, at: datetime) -> _LastReceived:
        last = self._last_received.get(child.unique_id)
        if last is None and not child.packets_in:
            return _LastReceived(0, 0, at - timedelta(seconds=child.installed_seconds))
        if last is None or last.packets_in != child.packets_in:
            return _LastReceived(child.packets_in, child.packets_out, at)
        return last

    def _update(self, current: Mapping[int, Anomalies]) -> dict[int, Anomalies]:
        changed = {
            tunnel: anomalies
            for tunnel, anomalies in current.items()
            if anomalies != self._anomalies.get(tunnel, {})
        }
        for tunnel, anomalies in changed.items():
            if anomalies:
                self._anomalies[tunnel] = anomalies
            else:
                self._anomalies.pop(tunnel, None)
        return changed


def _anomalies(
    connection: LoadedConnection,
    child_sas: Iterable[ChildSa],
    received: Mapping[str, _LastReceived],
    at: datetime,
) -> Anomalies:
    loaded = {child.name: child for child in connection.children}
    settled: dict[str, int] = {}
    anomalies: Anomalies = {}
    for child_sa in child_sas:
        child = loaded.get(child_sa.name)
        if child and (set(child_sa.local_ts), set(child_sa.remote_ts)) != (
            set(child.local_ts),
            set(child.remote_ts),
        ):
            anomalies["narrowed"] = [sorted(child_sa.local_ts), sorted(child_sa.remote_ts)]
        if child_sa.installed_seconds >= SETTLED_SECONDS:
            settled[child_sa.name] = settled.get(child_sa.name, 0) + 1
        last = received[child_sa.unique_id]
        packets = child_sa.packets_out - last.packets_out
        if packets >= ONE_WAY_PACKETS and at - last.at >= ONE_WAY_TIME:
            anomalies["one_way_since"] = last.at.isoformat()
    if (most := max(settled.values(), default=0)) > 1:
        anomalies["duplicates"] = most
    return anomalies


def _recent(downs: Iterable[str], at: datetime) -> list[str]:
    return [down for down in downs if at - datetime.fromisoformat(down) <= DOWNS_LIFETIME]
