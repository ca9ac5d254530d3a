"""Whose line of charon's log is this, and who began: events of the log become lines of tunnels.

Before a responder knows which connection is meant, charon calls the IKE_SA "(unnamed)"; then its
number leads to the addresses of its first packet, and these to the tunnel. What leads nowhere is
dropped, because customers are strangers to each other.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vpnportal.domain.diagnosis.log_lines import LogLine, Role, sanitize
from vpnportal.domain.gateway_config.names import is_portal_connection, tunnel_id

# Lines of one tunnel between two takings, and tunnels; more of either pushes the oldest out.
LINES, TUNNELS = 60, 2_000
# IKE_SAs that are remembered by their number.
MAX_IKE_SAS = 4_096
# A peer that is dialled for ever says nothing new after so many tries without any answer.
SILENT_TRIES = 2
REFUSED_AGAIN = timedelta(seconds=1)

_PACKET = re.compile(
    r"(?P<how>received|sending) packet: from (?P<source>\S+)\[(?P<source_port>\d+)\]"
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
    """One event of charon's log; `connection` and `ike` are "" where charon names none."""

    group: str
    connection: str
    ike: str
    text: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """This end's and the other end's address; the first is "" where only the peer is known."""

    local: str
    remote: str


@dataclass(slots=True)
class _IkeSaContext:
    """One IKE_SA as it is remembered between its lines."""

    role: Role
    ends: Endpoints | None = None
    silent_tries: int = 0
    shown: set[tuple[str, str]] = field(default_factory=set)


Owner = int | Endpoints
# From addresses to the ids of the tunnels they belong to; none or several are possible.
Owners = Callable[[Endpoints], Iterable[int]]


@dataclass(slots=True)
class TunnelLog:
    """What was heard of one tunnel; what is older than `anew` belongs to earlier settings."""

    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LINES))
    since: datetime | None = None

    def after(self, earlier: Iterable[LogLine]) -> list[LogLine]:
        """All lines in order that still count, when those before are `earlier`."""
        lines = sorted((*earlier, *self.lines), key=lambda line: line.at)
        return [line for line in lines if self.since is None or line.at >= self.since][-LINES:]


class LogCollector:
    """Collects what charon says until it is taken; its memory is bounded whoever talks.

    `era` tells charon's lifetimes apart: each counts its IKE_SAs from one.
    """

    def __init__(self, era: str) -> None:
        self._era = era
        self._talks: OrderedDict[str, _IkeSaContext] = OrderedDict()
        self._heard: OrderedDict[Owner, TunnelLog] = OrderedDict()
        self._refusals: OrderedDict[Endpoints, LogLine] = OrderedDict()

    def add(self, said: LogEvent, at: datetime) -> int | None:
        """One more event of the log; the answer is the tunnel that it says was loaded anew."""
        if not said.ike and (loaded := _LOADED.fullmatch(said.text)):
            tunnel = tunnel_id(loaded[1])
            self._heard_of(tunnel).since = at
            return tunnel
        if not said.ike:
            self._hear_of_a_peer(said, at)
        elif is_portal_connection(said.connection) or said.connection == "(unnamed)":
            self._hear_of_an_ike_sa(said, at)
        return None

    def refused(self, ends: Endpoints, text: str, at: datetime) -> None:
        """A device on the way says that a port of the peer cannot be reached, at each packet."""
        line = LogLine(at, Role.INITIATOR, sanitize(text))
        before = self._refusals.pop(ends, None)
        if before is not None and before.text == line.text and at - before.at < REFUSED_AGAIN:
            line = before
        else:
            self._add(ends, line)
        self._refusals[ends] = line
        if len(self._refusals) > TUNNELS:
            self._refusals.popitem(last=False)

    def drain(self, owners: Owners, at_most: int) -> dict[int, TunnelLog]:
        """What was heard by tunnel, the longest waiting first; what belongs to nobody is dropped.

        A line without an IKE_SA may concern several tunnels, if they have one customer.
        """
        taken: dict[int, TunnelLog] = defaultdict(TunnelLog)
        for _ in range(min(at_most, len(self._heard))):
            owner, heard = self._heard.popitem(last=False)
            for tunnel in (owner,) if isinstance(owner, int) else owners(owner):
                taken[tunnel].since = heard.since or taken[tunnel].since
                taken[tunnel].lines.extend(heard.lines)
        return taken

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._heard)

    def _hear_of_a_peer(self, said: LogEvent, at: datetime) -> None:
        if said.group == "NET" and (about := _ABOUT_A_PEER.fullmatch(said.text)):
            ends = Endpoints("", about["by"] or about["of"])
            heard = self._heard.get(ends)
            # It is said for each packet.
            if heard is None or said.text not in (one.text for one in heard.lines):
                self._add(ends, LogLine(at, Role.RESPONDER, sanitize(said.text)))

    def _hear_of_an_ike_sa(self, said: LogEvent, at: datetime) -> None:
        named = said.connection != "(unnamed)"
        talk = self._talk(said.ike, Role.INITIATOR if named else Role.RESPONDER)
        if not self._worth_telling(said, talk):
            return
        owner = tunnel_id(said.connection) if named else talk.ends
        if owner is not None:
            self._add(owner, LogLine(at, talk.role, sanitize(said.text), f"{self._era}-{said.ike}"))

    def _worth_telling(self, said: LogEvent, talk: _IkeSaContext) -> bool:
        if said.group == "NET":
            return _new_packet(said.text, talk)
        if said.group == "ENC" and (exchange := _EXCHANGE.match(said.text)):
            talk.role = Role.INITIATOR if exchange[1] == "generating" else Role.RESPONDER
        elif said.text.startswith("initiating "):
            talk.shown.clear()
        elif said.text.startswith("peer not responding, trying again"):
            talk.silent_tries += 1
        return talk.silent_tries < SILENT_TRIES and not _NOISE.match(said.text)

    def _talk(self, ike: str, role: Role) -> _IkeSaContext:
        talk = self._talks.setdefault(ike, _IkeSaContext(role))
        self._talks.move_to_end(ike)
        if len(self._talks) > MAX_IKE_SAS:
            self._talks.popitem(last=False)
        return talk

    def _add(self, owner: Owner, line: LogLine) -> None:
        self._heard_of(owner).lines.append(line)

    def _heard_of(self, owner: Owner) -> TunnelLog:
        heard = self._heard.setdefault(owner, TunnelLog())
        if len(self._heard) > TUNNELS:
            self._heard.popitem(last=False)
        return heard


def _new_packet(text: str, talk: _IkeSaContext) -> bool:
    """Whether a packet takes a way that no packet of this attempt took before."""
    packet = _PACKET.fullmatch(text)
    if packet is None:
        return True
    came = packet["how"] == "received"
    here, there = ("target", "source") if came else ("source", "target")
    talk.ends = Endpoints(packet[here], packet[there])
    if came:
        talk.silent_tries = 0
    way = (packet["how"], packet[f"{there}_port"])
    new = way not in talk.shown and talk.silent_tries < SILENT_TRIES
    talk.shown.add(way)
    return new
