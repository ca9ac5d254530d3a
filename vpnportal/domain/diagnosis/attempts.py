"""Attempts to build or renew a tunnel: what charon said of one IKE_SA, read from top to bottom.

The rules are in `symptoms`; here is what they need to know of the lines before theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine, Role

_EXCHANGE = re.compile(r"(generating|parsed) (\w+) (request|response) \d+ \[ (.*?) ?\]")
_PACKET = re.compile(r"(received|sending) packet: from \S+\[(\d+)\] to \S+\[(\d+)\]")
_OFFERS = re.compile(r"(received|configured) proposals: (.+)")
_LOOKING = re.compile(
    r"looking for (?:pre-shared key )?peer configs matching"
    r" [0-9.]+(?:\[(?P<mine>.*)\])?\.\.\.[0-9.]+\[(?P<theirs>.*)\]"
)
_UNDER_KEYS = frozenset(("QUICK_MODE", "CREATE_CHILD_SA"))
_V1 = frozenset(("ID_PROT", "AGGRESSIVE", "QUICK_MODE"))


class Phase(StrEnum):
    """How far an attempt has come, by the exchange that it is at."""

    ONE = "phase one"
    AUTH = "authentication"
    TWO = "phase two"
    REKEY = "rekey of phase two"


_PHASES = {
    "ID_PROT": Phase.ONE,
    "AGGRESSIVE": Phase.ONE,
    "IKE_SA_INIT": Phase.ONE,
    "IKE_AUTH": Phase.AUTH,
    "QUICK_MODE": Phase.TWO,
    "CREATE_CHILD_SA": Phase.TWO,
}


class Stage(IntEnum):
    """What an attempt has proved, each more than the one before."""

    HEARD = 1
    AGREED = 2
    AUTHENTICATED = 3
    UP = 4
    RENEWED = 5


@dataclass(frozen=True, slots=True)
class Symptom:
    """What a line shows: a cause, and what the two ends were heard to have.

    `here` tells that it is this end that refuses or lacks something; `weak` that it is only
    silence, which explains nothing beside a cause that was told. Whoever gets to the stage
    `beyond` later does not have it any more.
    """

    cause: Cause
    beyond: Stage
    theirs: str = ""
    ours: str = ""
    here: bool = False
    weak: bool = False


@dataclass(slots=True)
class Attempt:
    """One IKE_SA's lines so far, and the latest time at which it got to each stage.

    `offers` are the proposals heard last by whose they are, `identities` this end's and the
    peer's as the peer named them, `protected` whether the last message came under the keys.
    `answered` are the peer's ports that were heard, `sent_to` the one that was sent to last,
    `asked_again` tells that the peer repeated what was answered, `proven` that it came so far that
    nobody else can have had the peer's address.
    """

    role: Role
    version: int = 0
    lines: list[LogLine] = field(default_factory=list)
    reached: dict[Stage, datetime] = field(default_factory=dict)
    phase: Phase = Phase.ONE
    offers: dict[str, str] = field(default_factory=dict)
    identities: tuple[str, str] = ("", "")
    protected: bool = False
    answered: set[str] = field(default_factory=set)
    sent_to: str = ""
    quick_mode: bool = False
    proven: bool = False
    asked_again: bool = False

    def read(self, line: LogLine) -> None:
        """Take in what a line tells of the way that the attempt goes."""
        self.lines.append(line)
        text = line.text
        if exchange := _EXCHANGE.match(text):
            self._exchange(exchange, line.at)
        elif packet := _PACKET.match(text):
            self._packet(packet, line.at)
        elif offers := _OFFERS.fullmatch(text):
            self.offers[offers[1]] = offers[2]
        elif looking := _LOOKING.fullmatch(text):
            self.identities = (looking["mine"] or "", looking["theirs"])
        elif text.startswith("initiating "):
            self.phase, self.answered, self.sent_to = Phase.ONE, set(), ""
        elif stage := self._stage(text):
            self.reached[stage] = line.at
            self.proven |= stage >= Stage.AUTHENTICATED

    def _exchange(self, exchange: re.Match[str], at: datetime) -> None:
        how, name, kind, payloads = exchange.groups()
        if name in _PHASES and kind == "request":
            self.phase = _PHASES[name]
            if name == "CREATE_CHILD_SA" and "REKEY_SA" in payloads:
                self.phase = Phase.REKEY
            elif name == "CREATE_CHILD_SA" and "TS" not in payloads:
                # New keys for IKE itself.
                self.phase = Phase.ONE
        self.quick_mode |= name == "QUICK_MODE"
        self.proven |= name in _UNDER_KEYS
        if how == "parsed":
            self.protected = "HASH" in payloads
            self.reached[Stage.HEARD] = at

    def _packet(self, packet: re.Match[str], at: datetime) -> None:
        how, source_port, target_port = packet.groups()
        if how == "sending":
            self.sent_to = target_port
        else:
            self.answered.add(source_port)
            self.reached[Stage.HEARD] = at

    def _stage(self, text: str) -> Stage | None:
        if text.startswith("selected proposal: IKE:"):
            return Stage.AGREED
        if text.startswith("IKE_SA ") and " established between " in text:
            return Stage.AUTHENTICATED
        if "CHILD_SA " in text and " established with SPIs " in text:
            # The first CHILD_SA of IKEv2 has its keys from IKE (RFC 7296, 1.2).
            return Stage.UP if self.phase is Phase.AUTH else Stage.RENEWED
        return None


def version_of(lines: Iterable[LogLine]) -> int:
    """The version of an IKE_SA, 0 where no line shows it.

    Asked of all lines at once, because charon's threads overtake each other when they tell: the
    line that names the exchange may come behind the one that refuses it.
    """
    for line in lines:
        exchange = _EXCHANGE.match(line.text)
        if exchange and exchange[2] in _PHASES:
            return 1 if exchange[2] in _V1 else 2
    return 0


def by_attempt(lines: Iterable[LogLine]) -> list[list[LogLine]]:
    """The lines of each IKE_SA and role, in order; those without an IKE_SA are by themselves."""
    found: dict[tuple[str, Role], list[LogLine]] = {}
    for line in lines:
        found.setdefault((line.ike, line.role), []).append(line)
    return list(found.values())
