"""What is wrong with a tunnel, in words for its own admin and for the other end's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import TunnelSpec


class Cause(StrEnum):
    """Why a tunnel is down or does not carry what it should, the most decisive first."""

    ALGORITHM = "algorithm not loaded"
    NO_KEY = "no key for this pair of identities"
    KEY = "key differs"
    IDENTITY = "identity differs"
    KEY_OR_IDENTITY = "key or identity differs"
    IKE_VERSION = "IKE version"
    PHASE_ONE = "phase one proposal"
    PHASE_TWO = "phase two proposal"
    PFS = "PFS or group"
    SUBNETS = "subnets differ"
    NARROWED = "subnets narrowed by the peer"
    DOS_LIMIT = "DoS limit reached"
    REFUSED = "port refused"
    NAT_T = "UDP 500 answers but 4500 does not"
    NO_ANSWER = "no answer"
    ONE_WAY = "one-way traffic"
    FLAPPING = "flapping"
    DUPLICATES = "duplicate associations"


DECISIVE = tuple(Cause)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    `field` is the draft's field as in `spec.Problem`, or "". `text` says what is wrong, `advice`
    what would be right and at which end, `request` the same to the other end's admin ("" when it
    is this end's to mend). `theirs` and `ours` are what the two ends offer, as far as is known;
    `lines` are the lines of charon behind it. There is no secret in any of it.
    """

    cause: Cause
    field: str
    text: str
    advice: str
    theirs: str = ""
    ours: str = ""
    lines: tuple[str, ...] = ()
    request: str = ""


def message_for_peer(spec: TunnelSpec, finding: Finding) -> str:
    """A short text for the other end's admin; "" when that end has nothing to do with it."""
    if not finding.request:
        return ""
    version = IKE_VERSIONS[spec.ike_version]
    lines = [
        f"IPsec tunnel ({version}) between our gateway {spec.hosted_peer}"
        f" and your device {spec.remote_peer}:",
        finding.request,
    ]
    if finding.theirs:
        lines.append(f"Your device offers: {finding.theirs}.")
    if finding.ours:
        lines.append(f"Our gateway has: {finding.ours}.")
    return "\n".join(lines)
