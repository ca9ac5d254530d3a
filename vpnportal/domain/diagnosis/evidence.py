"""What is known of one tunnel beside its specification, and which symptoms of it still count."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vpnportal.domain.diagnosis.attempts import Attempt, Stage, Symptom, by_attempt, version_of
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.domain.diagnosis.log_rules import symptom_of

# What was heard so long before the latest line says nothing of now.
LASTS = timedelta(minutes=15)
BEHIND = 12
_UNREACHABLE = re.compile(r"icmp: .* port (\d+) .*")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What charon said of a tunnel's latest attempts, oldest first, and what was seen of it.

    `up` tells that all its children are installed; `narrowed` holds the local and the remote
    networks in force where they are less than what was asked for. `rekey_refused` is the outcome
    of the forced first rekey. `one_way_seconds` is for how long packets were only sent, `downs`
    how often a child went down in the last five minutes, `duplicates` how many CHILD_SAs carry
    the same networks.
    """

    lines: tuple[LogLine, ...] = ()
    up: bool = False
    rekey_refused: bool = False
    narrowed: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    one_way_seconds: int = 0
    downs: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class ActiveSymptom:
    """A symptom that still counts, with the lines behind it, and IKE's version where it shows."""

    symptom: Symptom
    role: Role
    at: datetime
    lines: tuple[str, ...]
    version: int = 0


def symptoms(evidence: Evidence) -> list[ActiveSymptom]:
    """What still counts, the newest first: of each role the last that was told, and silence."""
    attempts, found = [], []
    for lines in by_attempt(evidence.lines):
        attempt, several = _read(lines)
        attempts.append(attempt)
        # A packet with the peer's address is no news of a tunnel that is up: anybody can send it.
        if not evidence.up or attempt.proven or attempt.role is Role.INITIATOR:
            found += several
    found.sort(key=lambda one: one.at)
    last: dict[tuple[Role, object], ActiveSymptom] = {}
    for one in found:
        if evidence.lines[-1].at - one.at <= LASTS and not _superseded(
            one, found, attempts, evidence
        ):
            kind = one.symptom.cause if one.symptom.cause is Cause.DOS_LIMIT else one.symptom.weak
            last[one.role, kind] = one
    return sorted((*last.values(), *_refused(evidence.lines, attempts)), key=lambda one: one.at)[
        ::-1
    ]


def _read(lines: list[LogLine]) -> tuple[Attempt, list[ActiveSymptom]]:
    """An attempt, and what it shows: the last that was told, and silence if it came before that."""
    attempt = Attempt(lines[0].role, version_of(lines))
    last: dict[bool, ActiveSymptom] = {}
    for at, line in enumerate(lines):
        attempt.read(line)
        symptom = symptom_of(attempt, line)
        if symptom and not (symptom.weak and False in last):
            behind = tuple(one.text for one in lines[max(0, at + 1 - BEHIND) : at + 1])
            last[symptom.weak] = ActiveSymptom(
                symptom, attempt.role, line.at, behind, attempt.version
            )
    return attempt, list(last.values())


def _superseded(
    one: ActiveSymptom,
    found: Iterable[ActiveSymptom],
    attempts: Iterable[Attempt],
    evidence: Evidence,
) -> bool:
    """Whether something newer shows that it is not so any more."""
    beyond = one.symptom.beyond
    if beyond is Stage.UP and not evidence.up:
        # Another child than the one that failed may be up.
        return False
    for other in found:
        if other.at > one.at and other.symptom.beyond > beyond and not other.symptom.weak:
            return True
    return any(
        at > one.at and stage >= beyond and (beyond > Stage.HEARD or attempt.role is one.role)
        for attempt in attempts
        for stage, at in attempt.reached.items()
    )


def _refused(lines: Iterable[LogLine], attempts: Iterable[Attempt]) -> Iterable[ActiveSymptom]:
    """A port that was called unreachable, if the peer was not heard from it since."""
    dialled = [one for one in attempts if one.role is Role.INITIATOR and one.sent_to]
    if not dialled:
        return
    latest = max(dialled, key=lambda one: one.lines[-1].at)
    for line in reversed(tuple(lines)):
        match = _UNREACHABLE.fullmatch(line.text)
        if match and match[1] == latest.sent_to and latest.lines[0].at <= line.at:
            if latest.reached.get(Stage.HEARD, line.at) <= line.at:
                symptom = Symptom(Cause.REFUSED, Stage.HEARD, theirs=match[1], weak=True)
                texts = tuple(one.text for one in latest.lines[1 - BEHIND :])
                yield ActiveSymptom(
                    symptom, Role.INITIATOR, line.at, (*texts, line.text), latest.version
                )
            return
