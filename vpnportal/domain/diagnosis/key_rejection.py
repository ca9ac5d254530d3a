"""Rejection of the concentrator's key by the peer of a tunnel with two preshared keys.

An IKEv2 peer may use either key, and rejects the concentrator's answer if that has the other one.
In IKEv1, both sides derive keys from one preshared key, and cannot read each other with another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vpnportal.domain.diagnosis.attempts import Attempt, Stage, version_of
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.domain.diagnosis.log_rules import symptom_of

_REJECTED = (Cause.KEY, Cause.KEY_OR_IDENTITY)
# charon has tried both keys of the tunnel, so the peer has a third one.
_THIRD_KEY = "MAC mismatched"
# The initiator of IKEv2 rejects the responder in an exchange of its own (RFC 7296, 2.21.2).
_REJECTION = re.compile(r"parsed INFORMATIONAL request \d+ \[ (?:.* )?N\(AUTH_FAILED\)(?: .*)?\]")
_GIVING_UP = re.compile(r"giving up after \d+ retransmits")


@dataclass(frozen=True, slots=True)
class KeyAttempt:
    """The last attempt in the lines of an IKE_SA, and whether the peer took or rejected the key.

    An IKEv2 initiator may still reject the key after it is `authenticated`.
    """

    began_at: datetime
    is_rejected: bool
    is_authenticated: bool


def key_attempt(lines: Sequence[LogLine]) -> KeyAttempt:
    """Return the last attempt in the lines of one IKE_SA; charon tries again under one number."""
    started = [index for index, line in enumerate(lines) if line.text.startswith("initiating ")]
    lines = lines[started[-1] if started else 0 :]
    attempt = Attempt(lines[0].role, version_of(lines))
    is_rejected = False
    for line in lines:
        attempt.read(line)
        is_rejected |= _rejects(attempt, line)
    return KeyAttempt(lines[0].at, is_rejected, Stage.AUTHENTICATED in attempt.reached)


def _rejects(attempt: Attempt, line: LogLine) -> bool:
    if attempt.role is Role.RESPONDER and _REJECTION.fullmatch(line.text):
        return True
    if _GIVING_UP.fullmatch(line.text):
        # Some peers of IKEv1 are silent when they cannot read a message.
        is_new = Stage.AUTHENTICATED not in attempt.reached
        return attempt.version == 1 and is_new and Stage.AGREED in attempt.reached
    symptom = symptom_of(attempt, line)
    return symptom is not None and symptom.cause in _REJECTED and _THIRD_KEY not in line.text
