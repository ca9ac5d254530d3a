"""What charon says of the tunnels, written down: a tunnel's row when it changed, and no oftener.

Lines go to a tunnel only if the concentrator that said them has a standing revision of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.domain.diagnosis.anomalies import Anomalies, AnomalyDetector
from vpnportal.domain.diagnosis.log_collector import Endpoints, LogCollector, TunnelLog
from vpnportal.domain.diagnosis.log_lines import LogLine, as_json, from_json
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import IkeSa
from vpnportal.gateway.icmp_errors import IcmpErrorListener
from vpnportal.gateway.vici.events import Event
from vpnportal.models import Concentrator, DiagnosticLog, Revision

# So old may be what is known of whose addresses are whose; addresses are given anew seldom.
KNOWN_SECONDS, MISSED_SECONDS = 5.0, 1.0
# The same attempt with the same end is written down again after so long.
SAME_AGAIN = timedelta(seconds=30)
# What is different each time: numbers of messages and of associations, SPIs, sizes.
_COUNTED = re.compile(r"\(\d+ bytes\)|\d{5,}|\b[0-9a-f]{8}_[io]\b|\{\d+\}|(?<=ctx)\d+\[\d+\]")


class TunnelLookup:
    """Whose addresses are whose at one concentrator, by the revisions that stand there."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._asked_at = -KNOWN_SECONDS
        self._between: dict[Endpoints, set[int]] = {}
        self._of_peer: dict[str, dict[int, set[int]]] = {}

    def __call__(self, ends: Endpoints) -> Iterable[int]:
        """The tunnel between two addresses; of a peer alone, its tunnels if of one account."""
        age = time.monotonic() - self._asked_at
        found = self._find(ends) if age < KNOWN_SECONDS else set()
        if not found and age >= MISSED_SECONDS:
            self._ask()
            found = self._find(ends)
        return sorted(found)

    def _find(self, ends: Endpoints) -> set[int]:
        if ends.local:
            return self._between.get(ends, set())
        accounts = self._of_peer.get(ends.remote, {})
        return next(iter(accounts.values())) if len(accounts) == 1 else set()

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._between = defaultdict(set)
        self._of_peer = defaultdict(lambda: defaultdict(set))
        rows = Revision.objects.filter(concentrator=self._concentrator).live_or_applying()
        fields = ("hosted_peer", "remote_peer", "tunnel_id", "tunnel__account_id")
        for hosted, remote, tunnel, account in rows.values_list(*fields):
            self._between[Endpoints(hosted, remote)].add(tunnel)
            self._of_peer[remote][account].add(tunnel)


def anomalies_of(concentrator: Concentrator) -> dict[int, Anomalies]:
    """The facts that were kept of a concentrator's tunnels, without those that have none."""
    rows = DiagnosticLog.objects.filter(tunnel__in=_here(concentrator)).exclude(anomalies={})
    return dict(rows.values_list("tunnel_id", "anomalies"))


def save_log(
    concentrator: Concentrator, heard: Mapping[int, TunnelLog], facts: Mapping[int, Anomalies]
) -> None:
    """Write down what was heard, and facts that changed, in one transaction."""
    tunnels = heard.keys() | facts.keys()
    if not tunnels:
        return
    with transaction.atomic():
        rows = DiagnosticLog.objects.filter(tunnel__in=tunnels).in_bulk(field_name="tunnel_id")
        here = set(_here(concentrator).filter(tunnel__in=tunnels))
        changed = []
        for tunnel in tunnels & here:
            row = rows.get(tunnel) or DiagnosticLog(tunnel_id=tunnel)
            if _take(row, heard.get(tunnel), facts.get(tunnel)):
                row.changed_at = timezone.now()
                changed.append(row)
        DiagnosticLog.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["tunnel"],
            update_fields=["lines", "anomalies", "changed_at"],
        )


def _here(concentrator: Concentrator) -> QuerySet[Revision, int]:
    rows = Revision.objects.filter(concentrator=concentrator).live_or_applying().order_by()
    return rows.values_list("tunnel_id", flat=True)


def _take(row: DiagnosticLog, heard: TunnelLog | None, facts: Anomalies | None) -> bool:
    """Put what is new into a row; False if nothing is."""
    lines, before = row.lines, row.anomalies
    if facts is not None:
        row.anomalies = facts
    if heard is not None:
        earlier = from_json(row.lines)
        if heard.since or not _same(row, earlier, heard):
            row.lines = as_json(heard.after(earlier))
    return row.lines != lines or row.anomalies != before


def _same(row: DiagnosticLog, earlier: tuple[LogLine, ...], heard: TunnelLog) -> bool:
    """Whether the attempt before went the same way, not long ago."""
    if row.pk is None or timezone.now() - row.changed_at > SAME_AGAIN:
        return False
    if any(line.ike for line in heard.lines):
        return _way(earlier[-len(heard.lines) :]) == _way(heard.lines)
    return set(_way(heard.lines)) <= set(_way(earlier))


def _way(lines: Iterable[LogLine]) -> list[tuple[str, str]]:
    return [(str(line.role), _COUNTED.sub("#", line.text)) for line in lines]


log = logging.getLogger(__name__)

# An attempt that fails is over in less time than this; it is written down as a whole.
GATHER_SECONDS = 0.3
# A tunnel is written down once in so long, and so many of them at a time.
WRITE_SECONDS = 1.0
TUNNELS_AT_ONCE = 200


class LogRecorder:
    """The hearings of one concentrator, for one lifetime of its charon."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._ears = LogCollector(era=format(int(time.time()), "x"))
        self._owners = TunnelLookup(concentrator)
        self._notices = AnomalyDetector(anomalies_of(concentrator))
        self._facts: dict[int, Anomalies] = {}
        self._write_at: float | None = None
        self._written_at = 0.0
        self._errors = _errors()

    def close(self) -> None:
        """Hear no more, and write down what was heard."""
        if self._errors:
            self._errors.close()
        self._write()

    def add(self, event: Event) -> None:
        """One event of charon's, or none."""
        at = timezone.now()
        if event.said:
            if loaded := self._ears.add(event.said, at):
                self._facts |= self._notices.loaded(loaded)
        elif event.child_down:
            for name in event.connections:
                self._facts |= self._notices.went_down(tunnel_id(name), at)
        for refusal in self._errors.read() if self._errors else ():
            self._ears.refused(refusal.endpoints, refusal.text, at)

    def observe(
        self,
        loaded: Mapping[str, LoadedConnection],
        running: Iterable[IkeSa],
        at: datetime,
        everything: bool,
    ) -> None:
        """What charon lists of some of its connections, or of all."""
        self._facts |= self._notices.observe(loaded, running, at, everything)

    def write_what_is_due(self) -> None:
        """To be called often; it does nothing most of the time."""
        if not (self._facts or self._ears.waiting):
            return
        now = time.monotonic()
        if self._write_at is None:
            self._write_at = max(now + GATHER_SECONDS, self._written_at + WRITE_SECONDS)
        if now >= self._write_at:
            self._write()

    def _write(self) -> None:
        heard = self._ears.drain(self._owners, TUNNELS_AT_ONCE)
        facts, self._facts = self._facts, {}
        save_log(self._concentrator, heard, facts)
        self._write_at, self._written_at = None, time.monotonic()


def _errors() -> IcmpErrorListener | None:
    """Only root may listen to ICMP; without it a port that is refused looks like a silent one."""
    try:
        return IcmpErrorListener()
    except PermissionError:
        log.warning("ICMP errors cannot be heard: this process may not open raw sockets")
        return None
