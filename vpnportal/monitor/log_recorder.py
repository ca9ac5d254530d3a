"""Diagnostic logs: charon's lines of each tunnel, written to the rows that changed.

A tunnel gets only lines of the concentrator that has a live or applying revision of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.diagnosis.anomalies import Anomalies, AnomalyDetector
from vpnportal.domain.diagnosis.log_collector import Endpoints, LogCollector, TunnelLog
from vpnportal.domain.diagnosis.log_lines import LogLine, as_json, from_json
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import IkeSa
from vpnportal.gateway.icmp_errors import IcmpErrorListener
from vpnportal.gateway.vici.events import Event
from vpnportal.models import Concentrator, DiagnosticLog, Revision
from vpnportal.models.row_locks import lock_records, write_records

log = logging.getLogger(__name__)

# Maximum age of the cached map of addresses to tunnels, and minimum age before a miss reads it
# again. Addresses change seldom.
MAX_AGE_SECONDS, MIN_AGE_SECONDS = 5.0, 1.0
# A failed attempt takes less than this, so it is written as a whole.
GATHER_SECONDS = 0.3
# Limits of one write, so that other processes get SQLite's one write lock.
WRITE_SECONDS = 1.0
TUNNELS_PER_WRITE = 200
# An attempt that fails like the attempt before it is written again after this time.
REPEAT_AFTER = timedelta(seconds=30)
# Parts that differ in each attempt: message ids, unique ids of SAs, SPIs, sizes.
_VARIABLE = re.compile(r"\(\d+ bytes\)|\d{5,}|\b[0-9a-f]{8}_[io]\b|\{\d+\}|(?<=ctx)\d+\[\d+\]")


class LogRecorder:
    """The diagnostic logs of one concentrator, for one lifetime of its charon.

    `read` gets the new lines of tunnels, before they are written.
    """

    def __init__(
        self,
        concentrator: Concentrator,
        read: Callable[[Mapping[int, TunnelLog]], None] = lambda logs: None,
    ) -> None:
        self._concentrator, self._read = concentrator, read
        self._collector = LogCollector(era=format(int(time.time()), "x"))
        self._tunnels = TunnelLookup(concentrator)
        self._detector = AnomalyDetector(anomalies_of(concentrator))
        self._anomalies: dict[int, Anomalies] = {}
        self._write_at: float | None = None
        self._written_at = 0.0
        self._icmp_errors = _listen_to_icmp_errors()

    def close(self) -> None:
        """Stop listening for ICMP errors, and write the collected lines and anomalies."""
        if self._icmp_errors:
            self._icmp_errors.close()
        self._write()

    def add(self, event: Event) -> None:
        """Collect one event of charon, and ICMP errors that arrived meanwhile."""
        at = timezone.now()
        if event.log_event:
            if tunnel := self._collector.add(event.log_event, at):
                self._anomalies |= self._detector.settings_loaded(tunnel)
        elif event.is_child_down:
            for name in event.connections:
                self._anomalies |= self._detector.child_down(tunnel_id(name), at)
        for error in self._icmp_errors.read() if self._icmp_errors else ():
            self._collector.add_icmp_error(error.endpoints, error.text, at)

    def observe(
        self,
        connections: Mapping[str, LoadedConnection],
        ike_sas: Iterable[IkeSa],
        at: datetime,
        everything: bool,
    ) -> None:
        """Look for anomalies in connections and IKE_SAs that charon lists.

        With `everything`, these are all connections and IKE_SAs of charon.
        """
        self._anomalies |= self._detector.observe(connections, ike_sas, at, everything)

    def write_if_due(self) -> None:
        """Write the collected lines and anomalies, GATHER_SECONDS after the first of them.

        Two writes are at least WRITE_SECONDS apart.
        """
        if not (self._anomalies or self._collector.has_lines):
            return
        now = time.monotonic()
        if self._write_at is None:
            self._write_at = max(now + GATHER_SECONDS, self._written_at + WRITE_SECONDS)
        if now >= self._write_at:
            self._write()

    def _write(self) -> None:
        logs = self._collector.drain(self._tunnels, TUNNELS_PER_WRITE)
        self._read(logs)
        anomalies, self._anomalies = self._anomalies, {}
        save_log(self._concentrator, logs, anomalies)
        self._write_at, self._written_at = None, time.monotonic()


class TunnelLookup:
    """A lookup of tunnels by peer addresses, from the live and applying revisions."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._read_at = -MAX_AGE_SECONDS
        self._by_endpoints: dict[Endpoints, set[int]] = {}
        self._by_peer: dict[str, dict[int, set[int]]] = {}

    def __call__(self, endpoints: Endpoints) -> Iterable[int]:
        """Return the ids of the tunnels between two peer addresses.

        Without a local address, return all tunnels of the peer if they belong to one account.
        """
        age = time.monotonic() - self._read_at
        tunnels = self._find(endpoints) if age < MAX_AGE_SECONDS else set()
        if not tunnels and age >= MIN_AGE_SECONDS:
            self._read()
            tunnels = self._find(endpoints)
        return sorted(tunnels)

    def _find(self, endpoints: Endpoints) -> set[int]:
        if endpoints.local:
            return self._by_endpoints.get(endpoints, set())
        accounts = self._by_peer.get(endpoints.remote, {})
        return next(iter(accounts.values())) if len(accounts) == 1 else set()

    def _read(self) -> None:
        self._read_at = time.monotonic()
        self._by_endpoints = defaultdict(set)
        self._by_peer = defaultdict(lambda: defaultdict(set))
        revisions = Revision.objects.filter(concentrator=self._concentrator).live_or_applying()
        columns = ("hosted_peer", "remote_peer", "tunnel_id", "tunnel__account_id")
        for hosted_peer, remote_peer, tunnel, account in revisions.values_list(*columns):
            self._by_endpoints[Endpoints(hosted_peer, remote_peer)].add(tunnel)
            self._by_peer[remote_peer][account].add(tunnel)


def anomalies_of(concentrator: Concentrator) -> dict[int, Anomalies]:
    """Return the saved anomalies by tunnel."""
    rows = DiagnosticLog.objects.filter(tunnel__in=_tunnel_ids(concentrator))
    return dict(rows.exclude(anomalies={}).values_list("tunnel_id", "anomalies"))


def save_log(
    concentrator: Concentrator, logs: Mapping[int, TunnelLog], anomalies: Mapping[int, Anomalies]
) -> None:
    """Write new lines and changed anomalies by tunnel, in one transaction."""
    tunnels = logs.keys() | anomalies.keys()
    if not tunnels:
        return
    with transaction.atomic():
        present = set(_tunnel_ids(concentrator).filter(tunnel__in=tunnels))
        empty = [DiagnosticLog(tunnel_id=tunnel) for tunnel in present]
        new = [
            DiagnosticLog(tunnel_id=row.tunnel_id)
            for row in empty
            if _update(row, logs.get(row.tunnel_id), anomalies.get(row.tunnel_id))
        ]
        changed = []
        for tunnel, row in lock_records(DiagnosticLog.objects.all(), present, new).items():
            if _update(row, logs.get(tunnel), anomalies.get(tunnel)):
                row.changed_at = timezone.now()
                changed.append(row)
        columns = ("lines", "anomalies", "changed_at")
        write_records(DiagnosticLog.objects.all(), changed, columns)


def _tunnel_ids(concentrator: Concentrator) -> QuerySet[Revision, int]:
    revisions = Revision.objects.filter(concentrator=concentrator).live_or_applying().order_by()
    return revisions.values_list("tunnel_id", flat=True)


def _update(row: DiagnosticLog, new: TunnelLog | None, anomalies: Anomalies | None) -> bool:
    """Put new lines and anomalies into a row. Return True if the row changed."""
    before = (row.lines, row.anomalies)
    if anomalies is not None:
        row.anomalies = anomalies
    if new is not None:
        earlier = from_json(row.lines)
        if new.since or not _is_repetition(row, earlier, new):
            row.lines = as_json(new.merge(earlier))
    return (row.lines, row.anomalies) != before


def _is_repetition(row: DiagnosticLog, earlier: tuple[LogLine, ...], new: TunnelLog) -> bool:
    """Return True if the new lines repeat those of a row that changed within REPEAT_AFTER."""
    if row.pk is None or age_of(row.changed_at) > REPEAT_AFTER:
        return False
    if any(line.ike for line in new.lines):
        return _invariant(earlier[-len(new.lines) :]) == _invariant(new.lines)
    return set(_invariant(new.lines)) <= set(_invariant(earlier))


def _invariant(lines: Iterable[LogLine]) -> list[tuple[str, str]]:
    return [(str(line.role), _VARIABLE.sub("#", line.text)) for line in lines]


def _listen_to_icmp_errors() -> IcmpErrorListener | None:
    """Open a raw socket for ICMP errors. Return None without CAP_NET_RAW."""
    try:
        return IcmpErrorListener()
    except PermissionError:
        log.warning("No ICMP errors are recorded: this process may not open raw sockets")
        return None
