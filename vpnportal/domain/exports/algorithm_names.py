"""Translation of the portal's algorithm names to those of a device, per phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import Remarks
from vpnportal.domain.tunnel.algorithms import ENCRYPTIONS


@dataclass(frozen=True, slots=True)
class AlgorithmNames:
    """A device's names by the portal's, for one phase; it does not support any others."""

    encryption: Mapping[str, str]
    authentication: Mapping[str, str]
    group: Mapping[int, str]


class DeviceNames(NamedTuple):
    """The device's names for the algorithms of one phase, "" if the phase has none."""

    encryption: str
    authentication: str
    group: str


def phase_one_names(peer: PeerView, names: AlgorithmNames, remarks: Remarks) -> DeviceNames:
    """Return the names for phase 1; with an AEAD, `authentication` is the hash of the PRF."""
    phase = peer.phase_one
    # IKE has AEADs in version 2 only (RFC 5282).
    ciphers = {
        cipher: name
        for cipher, name in names.encryption.items()
        if peer.ikev2 or not is_aead(cipher)
    }
    return DeviceNames(
        remarks.name(ciphers, phase.encryption, f"phase 1 encryption with {peer.version}"),
        remarks.name(names.authentication, phase.authentication, "phase 1 authentication"),
        remarks.name(names.group, phase.group, "phase 1 Diffie-Hellman group"),
    )


def phase_two_names(peer: PeerView, names: AlgorithmNames, remarks: Remarks) -> DeviceNames:
    """Return the names for phase 2; an AEAD has no authentication, PFS off has no group."""
    phase = peer.phase_two
    encryption = remarks.name(names.encryption, phase.encryption, "phase 2 encryption")
    authentication = group = ""
    if not is_aead(phase.encryption):
        authentication = remarks.name(
            names.authentication, phase.authentication, "phase 2 authentication"
        )
    if phase.pfs:
        use = f"phase 2 Diffie-Hellman group with {peer.version}"
        group = remarks.name(names.group, phase.group, use)
    return DeviceNames(encryption, authentication, group)


def is_aead(encryption: str) -> bool:
    """Return True if the encryption includes integrity protection."""
    return encryption in ENCRYPTIONS and ENCRYPTIONS[encryption].aead


def proposal_of(names: DeviceNames) -> str:
    """Return a proposal such as `aes256-sha256-modp1536`, in the syntax of strongSwan."""
    return "-".join(name for name in names if name)


def numbered_groups(numbers: tuple[int, ...], form: str = "{}") -> dict[int, str]:
    """Return names for groups that a device calls by their IANA numbers."""
    return {number: form.format(number) for number in numbers}
