"""Collection of charon's log lines per tunnel, with the role of our side.

Until a responder knows the connection, charon names the IKE_SA "(unnamed)". Its lines are then
assigned to a tunnel by the addresses in its packets. Lines without a tunnel are dropped, because a
customer must never see the log of another customer.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vpnportal.domain.diagnosis.log_lines import LogLine, Role, sanitize
from vpnportal.domain.gateway_config.names import is_portal_connection, tunnel_id

# Limits of memory between two drains; the oldest lines and tunnels are evicted.
MAX_LINES, MAX_TUNNELS = 60, 2_000
MAX_IKE_SAS = 4_096
# charon dials a silent peer endlessly; further attempts without any reply add no information.
MAX_SILENT_TRIES = 2
ICMP_REPEAT_TIME = timedelta(seconds=1)

_PACKET = re.compile(
    r"(?P<direction>received|sending) packet: from (?P<source>\S+)\[(?P<source_port>\d+)\]"
    r" to (?P<target>\S+)\[(?P<target_port>\d+)\] \(\d+ bytes\)"
)
_EXCHANGE = re.compile(
    r"(generating|parsed) (?:ID_PROT|AGGRESSIVE|QUICK_MODE|IKE_SA_INIT|IKE_AUTH|CREATE_CHILD_SA)"
    r" request \d+ \["
)
_LOADED = re.compile(r"(?:added|updated|replaced) vici connection: (ctx\d+)")
_ABOUT_A_PEER = re.compile(
    r"ignoring IKE_SA setup from (?P<by>\S+), .*"
    r"|received unsupported IKE version \S+ from (?P<of>\S+), sending INVALID_MAJOR_VERSION"
)
_NOISE = re.compile(
    r"received .*vendor ID|scheduling (re|rekey)|maximum IKE_SA lifetime|vici |loaded "
    r"|peer supports MOBIKE|remote host is behind NAT|local host is behind NAT"
    r"|received \d+s? life(time|bytes)|sending DPD|parsed INFORMATIONAL (re\w+) \d+ \[ \]"
    r"|generating INFORMATIONAL (re\w+) \d+ \[ \]"
)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event of charon's log; `connection` and `ike` are "" if charon names none."""

    group: str
    connection: str
    ike: str
    text: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """IP addresses of the concentrator and the peer; `local` is "" if only the peer is known."""

    local: str
    remote: str


@dataclass(slots=True)
class _IkeSaContext:
    """State of one IKE_SA while its lines arrive; `paths` has pairs of direction and peer port."""

    role: Role
    endpoints: Endpoints | None = None
    silent_tries: int = 0
    paths: set[tuple[str, str]] = field(default_factory=set)


Owner = int | Endpoints
# Returns the ids of the tunnels between two addresses: none, one or more.
Owners = Callable[[Endpoints], Iterable[int]]


@dataclass(slots=True)
class TunnelLog:
    """New lines of one tunnel; lines before `since` belong to earlier settings."""

    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    since: datetime | None = None

    def merge(self, earlier: Iterable[LogLine]) -> list[LogLine]:
        """Return the last `MAX_LINES` of `earlier` and new lines by time, none before `since`."""
        lines = sorted((*earlier, *self.lines), key=lambda line: line.at)
        return [line for line in lines if self.since is None or line.at >= self.since][-MAX_LINES:]


class LogCollector:
    """Collector of log lines per tunnel until the next `drain`, with limited memory.

    `era` distinguishes the runs of charon, because each run numbers its IKE_SAs from 1.
    """

    def __init__(self, era: str) -> None:
        self._era = era
        self._ike_sas: OrderedDict[str, _IkeSaContext] = OrderedDict()
        self._logs: OrderedDict[Owner, TunnelLog] = OrderedDict()
        self._icmp_errors: OrderedDict[Endpoints, LogLine] = OrderedDict()

    def add(self, event: LogEvent, at: datetime) -> int | None:
        """Add an event; return the tunnel id if charon has loaded settings of that tunnel."""
        if not event.ike and (loaded := _LOADED.fullmatch(event.text)):
            tunnel = tunnel_id(loaded[1])
            self._log_of(tunnel).since = at
            return tunnel
        if not event.ike:
            self._add_peer_event(event, at)
        elif is_portal_connection(event.connection) or event.connection == "(unnamed)":
            self._add_ike_sa_event(event, at)
        return None

    def add_icmp_error(self, endpoints: Endpoints, text: str, at: datetime) -> None:
        """Add an ICMP error about a port of the peer, unless it repeats the last error."""
        line = LogLine(at, Role.INITIATOR, sanitize(text))
        last = self._icmp_errors.pop(endpoints, None)
        if last is not None and last.text == line.text and at - last.at < ICMP_REPEAT_TIME:
            line = last
        else:
            self._log_of(endpoints).lines.append(line)
        self._icmp_errors[endpoints] = line
        if len(self._icmp_errors) > MAX_TUNNELS:
            self._icmp_errors.popitem(last=False)

    def drain(self, owners: Owners, limit: int) -> dict[int, TunnelLog]:
        """Remove at most `limit` logs, the longest waiting first, and return them by tunnel id.

        A log known only by addresses goes to each tunnel that `owners` returns for them.
        """
        drained: dict[int, TunnelLog] = defaultdict(TunnelLog)
        for _ in range(min(limit, len(self._logs))):
            owner, log = self._logs.popitem(last=False)
            for tunnel in (owner,) if isinstance(owner, int) else owners(owner):
                drained[tunnel].since = log.since or drained[tunnel].since
                drained[tunnel].lines.extend(log.lines)
        return drained

    @property
    def has_lines(self) -> bool:
        """True if the collector contains a log that was not drained."""
        return bool(self._logs)

    def _add_peer_event(self, event: LogEvent, at: datetime) -> None:
        if event.group == "NET" and (about := _ABOUT_A_PEER.fullmatch(event.text)):
            endpoints = Endpoints("", about["by"] or about["of"])
            log = self._logs.get(endpoints)
            # charon repeats the line for each packet.
            if log is None or event.text not in (line.text for line in log.lines):
                line = LogLine(at, Role.RESPONDER, sanitize(event.text))
                self._log_of(endpoints).lines.append(line)

    def _add_ike_sa_event(self, event: LogEvent, at: datetime) -> None:
        is_named = event.connection != "(unnamed)"
        context = self._context(event.ike, Role.INITIATOR if is_named else Role.RESPONDER)
        if not _is_informative(event, context):
            return
        owner = tunnel_id(event.connection) if is_named else context.endpoints
        if owner is not None:
            ike = f"{self._era}-{event.ike}"
            line = LogLine(at, context.role, sanitize(event.text), ike)
            self._log_of(owner).lines.append(line)

    def _context(self, ike: str, role: Role) -> _IkeSaContext:
        context = self._ike_sas.setdefault(ike, _IkeSaContext(role))
        self._ike_sas.move_to_end(ike)
        if len(self._ike_sas) > MAX_IKE_SAS:
            self._ike_sas.popitem(last=False)
        return context

    def _log_of(self, owner: Owner) -> TunnelLog:
        log = self._logs.setdefault(owner, TunnelLog())
        if len(self._logs) > MAX_TUNNELS:
            self._logs.popitem(last=False)
        return log


def _is_informative(event: LogEvent, context: _IkeSaContext) -> bool:
    """Update the context of the IKE_SA, and return True if the line is worth keeping.

    Lines that match `_NOISE` are not, and neither are repeated attempts without a reply.
    """
    if event.group == "NET":
        return _is_new_path(event.text, context)
    if event.group == "ENC" and (exchange := _EXCHANGE.match(event.text)):
        context.role = Role.INITIATOR if exchange[1] == "generating" else Role.RESPONDER
    elif event.text.startswith("initiating "):
        context.paths.clear()
    elif event.text.startswith("peer not responding, trying again"):
        context.silent_tries += 1
    return context.silent_tries < MAX_SILENT_TRIES and not _NOISE.match(event.text)


def _is_new_path(text: str, context: _IkeSaContext) -> bool:
    """Return True for the first packet of an attempt in its direction and with its peer port."""
    packet = _PACKET.fullmatch(text)
    if packet is None:
        return True
    is_received = packet["direction"] == "received"
    local, remote = ("target", "source") if is_received else ("source", "target")
    context.endpoints = Endpoints(packet[local], packet[remote])
    if is_received:
        context.silent_tries = 0
    path = (packet["direction"], packet[f"{remote}_port"])
    is_new = path not in context.paths and context.silent_tries < MAX_SILENT_TRIES
    context.paths.add(path)
    return is_new
