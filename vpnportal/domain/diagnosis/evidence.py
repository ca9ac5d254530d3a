"""Evidence for the diagnosis of one tunnel, and the active symptoms in its log lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vpnportal.domain.diagnosis.attempts import Attempt, Stage, Symptom, by_attempt, version_of
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.domain.diagnosis.log_rules import symptom_of

# A symptom this much older than the latest line does not describe the present.
SYMPTOM_LIFETIME = timedelta(minutes=15)
# Lines of the log that a finding shows.
CONTEXT_LINES = 12
_UNREACHABLE = re.compile(r"icmp: .* port (\d+) .*")


@dataclass(frozen=True, slots=True)
class Evidence:
    """charon's lines about the latest attempts of a tunnel, oldest first, and its observed state.

    `up` is set if all CHILD_SAs are installed. `narrowed` has the negotiated local and remote
    networks, if they are less than the configured ones. `rekey_refused` is set if the forced
    first rekey failed. `one_way_seconds` is the time since the last received packet, or 0
    without one-way traffic. `downs` is how often the tunnel went down in the last five minutes.
    `duplicates` is the number of CHILD_SAs with the same networks.
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
    """A symptom that no later event disproves, with its lines and the IKE version, 0 if unknown.

    `is_unproven` is set if any host could have sent the packets, with the peer's address.
    """

    symptom: Symptom
    role: Role
    at: datetime
    lines: tuple[str, ...]
    version: int = 0
    is_unproven: bool = False


def active_symptoms(evidence: Evidence) -> list[ActiveSymptom]:
    """Return the active symptoms, the newest first.

    The result has the last reported and the last inferred symptom of each role. Any DoS limit and
    any refused port are added.
    """
    attempts: list[Attempt] = []
    candidates: list[ActiveSymptom] = []
    for lines in by_attempt(evidence.lines):
        attempt, symptoms = _read(lines)
        attempts.append(attempt)
        # Any host can send an initial packet with the peer's address; the peer itself is up.
        if not evidence.up or attempt.is_proven or attempt.role is Role.INITIATOR:
            candidates += symptoms
    candidates.sort(key=_time)
    last: dict[tuple[Role, object], ActiveSymptom] = {}
    for active in candidates:
        if evidence.lines[-1].at - active.at <= SYMPTOM_LIFETIME and not _is_superseded(
            active, candidates, attempts, evidence
        ):
            cause, is_inferred = active.symptom.cause, active.symptom.is_inferred
            last[active.role, cause if cause is Cause.DOS_LIMIT else is_inferred] = active
    return sorted((*last.values(), *_refused_port(evidence.lines, attempts)), key=_time)[::-1]


def _time(active: ActiveSymptom) -> datetime:
    return active.at


def _read(lines: list[LogLine]) -> tuple[Attempt, list[ActiveSymptom]]:
    """Return an attempt, its last reported symptom, and the last inferred symptom before that."""
    attempt = Attempt(lines[0].role, version_of(lines))
    last: dict[bool, ActiveSymptom] = {}
    for index, line in enumerate(lines):
        attempt.read(line)
        symptom = symptom_of(attempt, line)
        if symptom and not (symptom.is_inferred and False in last):
            context = lines[max(0, index + 1 - CONTEXT_LINES) : index + 1]
            last[symptom.is_inferred] = ActiveSymptom(
                symptom,
                attempt.role,
                line.at,
                tuple(line.text for line in context),
                attempt.version,
            )
    return attempt, [
        # The limit is our own charon's.
        replace(
            active,
            is_unproven=attempt.is_unproven and active.symptom.cause is not Cause.DOS_LIMIT,
        )
        for active in last.values()
    ]


def _is_superseded(
    active: ActiveSymptom,
    candidates: Iterable[ActiveSymptom],
    attempts: Iterable[Attempt],
    evidence: Evidence,
) -> bool:
    """Return True if a later event disproves the symptom."""
    stage = active.symptom.cleared_by
    if stage is Stage.UP and not evidence.up:
        # The CHILD_SA that is up may be another than the failed one.
        return False
    for later in candidates:
        symptom = later.symptom
        if later.at > active.at and symptom.cleared_by > stage and not symptom.is_inferred:
            return True
    return any(
        at > active.at
        and reached >= stage
        and (stage > Stage.RECEIVED or attempt.role is active.role)
        for attempt in attempts
        for reached, at in attempt.reached.items()
    )


def _refused_port(lines: Iterable[LogLine], attempts: Iterable[Attempt]) -> Iterable[ActiveSymptom]:
    """Yield the latest ICMP error about our last target port, unless the peer answered later."""
    initiated = [
        attempt for attempt in attempts if attempt.role is Role.INITIATOR and attempt.target_port
    ]
    if not initiated:
        return
    latest = max(initiated, key=lambda attempt: attempt.lines[-1].at)
    for line in reversed(tuple(lines)):
        error = _UNREACHABLE.fullmatch(line.text)
        if error and error[1] == latest.target_port and latest.lines[0].at <= line.at:
            if latest.reached.get(Stage.RECEIVED, line.at) <= line.at:
                symptom = Symptom(Cause.REFUSED, Stage.RECEIVED, theirs=error[1], is_inferred=True)
                context = tuple(line.text for line in latest.lines[1 - CONTEXT_LINES :])
                yield ActiveSymptom(
                    symptom, Role.INITIATOR, line.at, (*context, line.text), latest.version
                )
            return
