"""Attempts to establish or rekey a tunnel, read from charon's lines about one IKE_SA.

`symptoms` has the rules; an `Attempt` holds the context of earlier lines that these rules need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, auto

from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine, Role

_EXCHANGE = re.compile(r"(generating|parsed) (\w+) (request|response) \d+ \[ (.*?) ?\]")
_PACKET = re.compile(r"(received|sending) packet: from \S+\[(\d+)\] to \S+\[(\d+)\]")
_PROPOSALS = re.compile(r"(received|configured) proposals: (.+)")
_CONFIG_LOOKUP = re.compile(
    r"looking for (?:pre-shared key )?peer configs matching"
    r" [0-9.]+(?:\[(?P<local>.*)\])?\.\.\.[0-9.]+\[(?P<remote>.*)\]"
)
# Exchanges that follow authentication only (RFC 2409, 5.5; RFC 7296, 1.3).
_AFTER_AUTHENTICATION = frozenset(("QUICK_MODE", "CREATE_CHILD_SA"))
_IKEV1_EXCHANGES = frozenset(("ID_PROT", "AGGRESSIVE", "QUICK_MODE"))


class Phase(Enum):
    """Progress of an attempt, by its current exchange."""

    ONE = auto()
    AUTH = auto()
    TWO = auto()
    REKEY = auto()


_PHASES = {
    "ID_PROT": Phase.ONE,
    "AGGRESSIVE": Phase.ONE,
    "IKE_SA_INIT": Phase.ONE,
    "IKE_AUTH": Phase.AUTH,
    "QUICK_MODE": Phase.TWO,
    "CREATE_CHILD_SA": Phase.TWO,
}


class Stage(IntEnum):
    """Milestones of an attempt in ascending order."""

    RECEIVED = 1
    AGREED = 2
    AUTHENTICATED = 3
    UP = 4
    REKEYED = 5


@dataclass(frozen=True, slots=True)
class Symptom:
    """The cause that a line of the log shows, with the settings of both devices if logged.

    `is_local` is set if our side rejects or lacks something. `is_inferred` is set if only missing
    replies indicate the cause; any reported cause takes precedence. A later attempt that reaches
    `cleared_by` disproves the symptom.
    """

    cause: Cause
    cleared_by: Stage
    theirs: str = ""
    ours: str = ""
    is_local: bool = False
    is_inferred: bool = False


@dataclass(slots=True)
class Attempt:
    """The lines of one IKE_SA so far, and the latest time at which it reached each stage.

    `proposals` maps "received" and "configured" to the latest proposals in the log. `identities`
    are ours and the peer's, as the peer sent them. `is_encrypted` is set if the last message of
    the peer had a HASH payload. `peer_ports` are the ports that packets came from, `target_port`
    is the port of our last packet. `has_peer_retransmitted` is set if the peer repeated an
    answered request. `is_proven` is set after authentication, or an exchange that requires it.
    `requests` are those of the peer: the second one has a cookie or SPI that only the host at the
    peer's address received.
    """

    role: Role
    version: int = 0
    lines: list[LogLine] = field(default_factory=list)
    reached: dict[Stage, datetime] = field(default_factory=dict)
    phase: Phase = Phase.ONE
    proposals: dict[str, str] = field(default_factory=dict)
    identities: tuple[str, str] = ("", "")
    is_encrypted: bool = False
    peer_ports: set[str] = field(default_factory=set)
    target_port: str = ""
    has_quick_mode: bool = False
    is_proven: bool = False
    has_peer_retransmitted: bool = False
    requests: int = 0

    @property
    def is_unproven(self) -> bool:
        """True if any host could have sent all packets of the attempt, with the peer's address."""
        return self.role is Role.RESPONDER and not self.is_proven and self.requests < 2

    def read(self, line: LogLine) -> None:
        """Append a line of the log, and update the other fields from its text."""
        self.lines.append(line)
        text = line.text
        if exchange := _EXCHANGE.match(text):
            self._read_exchange(exchange, line.at)
        elif packet := _PACKET.match(text):
            self._read_packet(packet, line.at)
        elif proposals := _PROPOSALS.fullmatch(text):
            self.proposals[proposals[1]] = proposals[2]
        elif lookup := _CONFIG_LOOKUP.fullmatch(text):
            self.identities = (lookup["local"] or "", lookup["remote"])
        elif text.startswith("initiating "):
            self.phase, self.peer_ports, self.target_port = Phase.ONE, set(), ""
        elif stage := self._stage(text):
            self.reached[stage] = line.at
            self.is_proven |= stage >= Stage.AUTHENTICATED

    def _read_exchange(self, exchange: re.Match[str], at: datetime) -> None:
        direction, name, kind, payloads = exchange.groups()
        if name in _PHASES and kind == "request":
            self.phase = _PHASES[name]
            if name == "CREATE_CHILD_SA" and "REKEY_SA" in payloads:
                self.phase = Phase.REKEY
            elif name == "CREATE_CHILD_SA" and "TS" not in payloads:
                # A rekey of the IKE_SA has no traffic selectors (RFC 7296, 1.3.2).
                self.phase = Phase.ONE
        self.has_quick_mode |= name == "QUICK_MODE"
        self.is_proven |= name in _AFTER_AUTHENTICATION
        if direction == "parsed":
            self.requests += kind == "request"
            self.is_encrypted = "HASH" in payloads
            self.reached[Stage.RECEIVED] = at

    def _read_packet(self, packet: re.Match[str], at: datetime) -> None:
        direction, source_port, target_port = packet.groups()
        if direction == "sending":
            self.target_port = target_port
        else:
            self.peer_ports.add(source_port)
            self.reached[Stage.RECEIVED] = at

    def _stage(self, text: str) -> Stage | None:
        if text.startswith("selected proposal: IKE:"):
            return Stage.AGREED
        if text.startswith("IKE_SA ") and " established between " in text:
            return Stage.AUTHENTICATED
        if "CHILD_SA " in text and " established with SPIs " in text:
            # The first CHILD_SA of IKEv2 takes its keys from the IKE_SA (RFC 7296, 1.2).
            return Stage.UP if self.phase is Phase.AUTH else Stage.REKEYED
        return None


def version_of(lines: Iterable[LogLine]) -> int:
    """Return the IKE version of an attempt, or 0 if no line names an exchange.

    `lines` must be complete, because charon's threads log concurrently. The line that names the
    exchange may follow the line that reports its rejection.
    """
    for line in lines:
        exchange = _EXCHANGE.match(line.text)
        if exchange and exchange[2] in _PHASES:
            return 1 if exchange[2] in _IKEV1_EXCHANGES else 2
    return 0


def by_attempt(lines: Iterable[LogLine]) -> list[list[LogLine]]:
    """Group lines by IKE_SA and role, in order; lines without an IKE_SA form one group per role."""
    groups: dict[tuple[str, Role], list[LogLine]] = {}
    for line in lines:
        groups.setdefault((line.ike, line.role), []).append(line)
    return list(groups.values())
