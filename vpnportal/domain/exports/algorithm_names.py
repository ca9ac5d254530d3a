"""From the panel's words for algorithms to those of a device, in each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import Remarks
from vpnportal.domain.tunnel.algorithms import ENCRYPTIONS


@dataclass(frozen=True, slots=True)
class Words:
    """What a device calls the algorithms of one phase; what is not in a table it cannot do."""

    encryption: Mapping[str, str]
    authentication: Mapping[str, str]
    group: Mapping[int, str]


class DeviceNames(NamedTuple):
    """One phase in the device's words; "" for what is not said in it."""

    encryption: str
    authentication: str
    group: str


def phase_one(end: PeerView, words: Words, remarks: Remarks) -> DeviceNames:
    """With an AEAD, `authentication` is the hash of the PRF."""
    asked = end.phase_one
    # RFC 5282 gives IKE an AEAD in version 2 only.
    known = {
        name: word for name, word in words.encryption.items() if end.ikev2 or not is_aead(name)
    }
    return DeviceNames(
        remarks.word(known, asked.encryption, f"phase one encryption with {end.version}"),
        remarks.word(words.authentication, asked.authentication, "phase one authentication"),
        remarks.word(words.group, asked.group, "phase one Diffie-Hellman group"),
    )


def phase_two(end: PeerView, words: Words, remarks: Remarks) -> DeviceNames:
    """No authentication with an AEAD, and no group without PFS."""
    asked = end.phase_two
    encryption = remarks.word(words.encryption, asked.encryption, "phase two encryption")
    authentication = group = ""
    if not is_aead(asked.encryption):
        authentication = remarks.word(
            words.authentication, asked.authentication, "phase two authentication"
        )
    if asked.pfs:
        what = f"phase two Diffie-Hellman group with {end.version}"
        group = remarks.word(words.group, asked.group, what)
    return DeviceNames(encryption, authentication, group)


def is_aead(encryption: str) -> bool:
    """Whether this encryption needs no integrity algorithm beside it."""
    return encryption in ENCRYPTIONS and ENCRYPTIONS[encryption].aead


def joined(said: DeviceNames) -> str:
    """`aes256-sha256-modp1536`, as strongSwan and its kin write a proposal."""
    return "-".join(word for word in said if word)


def numbered(numbers: tuple[int, ...], form: str = "{}") -> dict[int, str]:
    """Groups that a device calls by their IANA numbers."""
    return {number: form.format(number) for number in numbers}
