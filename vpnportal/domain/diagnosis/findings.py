"""Findings: diagnosed causes with texts for the customer and for the peer's administrator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import TunnelSpec


class Cause(StrEnum):
    """Causes of a tunnel that is down or carries less than it should, the most decisive first."""

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
    DUPLICATES = "duplicate SAs"


DECISIVE = tuple(Cause)
UNPROVEN = (
    "This comes from a first packet with the peer's address, before any authentication. Any host "
    "can send one: ask the peer's administrator before you change a setting."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause with texts that contain no secret.

    `field` is a field of the draft as in `spec.Problem`, or "". `text` names the problem, `advice`
    the correct setting and the device. `request` asks the peer's administrator for the change, and
    is "" if the problem is local. `theirs` and `ours` are the settings of the peer and of the
    concentrator, as far as they are known. `lines` are charon's lines that show the cause.
    `is_unproven` is set if any host could have sent the packets, with the peer's address.
    """

    cause: Cause
    field: str
    text: str
    advice: str
    theirs: str = ""
    ours: str = ""
    lines: tuple[str, ...] = ()
    request: str = ""
    is_unproven: bool = False

    @property
    def caution(self) -> str:
        """A sentence on packets that any host could have sent, or ""."""
        return UNPROVEN if self.is_unproven else ""


def message_for_peer(spec: TunnelSpec, finding: Finding) -> str:
    """Return a short text for the peer's administrator, or "" if the peer needs no change."""
    if not finding.request:
        return ""
    version = IKE_VERSIONS[spec.ike_version]
    lines = [
        f"IPsec tunnel ({version}) between our gateway {spec.hosted_peer}"
        f" and your device {spec.remote_peer}:",
        finding.request,
    ]
    if finding.theirs:
        sender = "with the address of" if finding.is_unproven else "from"
        lines.append(f"Received {sender} your device: {finding.theirs}.")
    if finding.ours:
        lines.append(f"Configured on our gateway: {finding.ours}.")
    return "\n".join(lines)
