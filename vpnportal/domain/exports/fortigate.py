"""FortiGate: an interface-mode VPN for the command line of FortiOS 6.2 and later.

FortiOS CLI Reference: vpn ipsec phase1-interface, vpn ipsec phase2-interface, firewall address,
firewall addrgrp, router static, firewall policy; Administration Guide, "Phase 1 configuration": the
name of an interface-mode VPN has at most 15 characters. keylife and keylifeseconds are 120 to
172800, as in the portal.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    is_aead,
    numbered_groups,
    phase_one_names,
    phase_two_names,
)
from vpnportal.domain.exports.header import head, pairs_remark
from vpnportal.domain.exports.peer_view import PeerSubnet, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks, identifier

CIPHERS = {
    "DES": "des",
    "3DES": "3des",
    "AES128": "aes128",
    "AES192": "aes192",
    "AES256": "aes256",
    "AES128-GCM": "aes128gcm",
    "AES256-GCM": "aes256gcm",
    "ChaCha20-Poly1305": "chacha20poly1305",
}
HASHES = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
}
GROUPS = numbered_groups((1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31))
NAMES = AlgorithmNames(CIPHERS, HASHES, GROUPS)
# There is no MD5 as the PRF of a GCM cipher.
AEAD = AlgorithmNames(
    CIPHERS, {digest: f"prf{name}" for digest, name in HASHES.items() if digest != "MD5"}, GROUPS
)
MAX_NAME = 15
SECONDS, DPD_SECONDS = range(120, 172_800 + 1), range(1, 3_600 + 1)


def fortigate(peer: PeerView) -> str:
    """Return commands for the CLI or for a script."""
    remarks = Remarks("FortiGate")
    pairs_remark(peer, remarks)
    name = identifier(peer.name, MAX_NAME)
    body = [
        *_phase_one(peer, name, remarks),
        *_phase_two(peer, name, remarks),
        *_addresses(name, "own", peer.own),
        *_addresses(name, "hosted", peer.hosted),
        *_routes(peer, name),
        *_policies(name),
    ]
    first = head(
        "#",
        peer,
        remarks,
        "Escape double quotes and backslashes in the preshared key with a backslash.",
        "Paste into the CLI. Replace YOUR_OUTSIDE_INTERFACE and YOUR_INSIDE_INTERFACE with your"
        " names. Keep NAT disabled in the policies.",
    )
    return "\n".join((*first, *body, ""))


def _phase_one(peer: PeerView, name: str, remarks: Remarks) -> Iterator[str]:
    aead = is_aead(peer.phase_one.encryption)
    names = phase_one_names(peer, AEAD if aead else NAMES, remarks)
    keylife = remarks.seconds(peer.phase_one.keylife, SECONDS, "a phase 1 key life")
    yield from ("config vpn ipsec phase1-interface", f'    edit "{name}"')
    yield '        set interface "YOUR_OUTSIDE_INTERFACE"'
    yield f"        set ike-version {'2' if peer.ikev2 else '1'}"
    if not peer.ikev2:
        yield "        set mode main"
    yield "        set peertype any"
    yield "        set net-device disable"
    yield f"        set keylife {keylife}"
    yield f"        set proposal {names.encryption}-{names.authentication}"
    yield f"        set dhgrp {names.group}"
    yield f"        set remote-gw {peer.concentrator}"
    yield f'        set psksecret "{KEY}"'
    if peer.dpd:
        interval = remarks.seconds(peer.dpd, DPD_SECONDS, "a DPD interval")
        yield "        set dpd on-idle"
        yield "        set dpd-retrycount 3"
        yield f"        set dpd-retryinterval {interval}"
    else:
        yield "        set dpd disable"
    yield from ("    next", "end")


def _phase_two(peer: PeerView, name: str, remarks: Remarks) -> Iterator[str]:
    names = phase_two_names(peer, NAMES, remarks)
    proposal = "-".join(part for part in names[:2] if part)
    keylife = remarks.seconds(peer.phase_two.keylife, SECONDS, "a phase 2 key life")
    yield "config vpn ipsec phase2-interface"
    for number, (own, hosted) in enumerate(peer.pairs, 1):
        yield f'    edit "{name}-{number}"'
        yield f'        set phase1name "{name}"'
        yield f"        set proposal {proposal}"
        if names.group:
            yield from ("        set pfs enable", f"        set dhgrp {names.group}")
        else:
            yield "        set pfs disable"
        yield "        set keylife-type seconds"
        yield f"        set keylifeseconds {keylife}"
        yield f"        set auto-negotiate {'enable' if peer.must_initiate else 'disable'}"
        yield f"        set src-subnet {own.address} {own.mask}"
        yield f"        set dst-subnet {hosted.address} {hosted.mask}"
        yield "    next"
    yield "end"


def _addresses(name: str, side: str, networks: tuple[PeerSubnet, ...]) -> Iterator[str]:
    names = [f'"{name}-{side}-{number}"' for number, _ in enumerate(networks, 1)]
    yield "config firewall address"
    for quoted, network in zip(names, networks, strict=True):
        yield f"    edit {quoted}"
        yield f"        set subnet {network.address} {network.mask}"
        yield "    next"
    yield from ("end", "config firewall addrgrp", f'    edit "{name}-{side}"')
    yield f"        set member {' '.join(names)}"
    yield from ("    next", "end")


def _routes(peer: PeerView, name: str) -> Iterator[str]:
    """Yield a tunnel route and a blackhole route per hosted network.

    The blackhole keeps traffic off the internet while the tunnel is down.
    """
    yield "config router static"
    for network in peer.hosted:
        for target in ((f'device "{name}"',), ("blackhole enable", "distance 254")):
            yield "    edit 0"
            yield f"        set dst {network.address} {network.mask}"
            yield from (f"        set {setting}" for setting in target)
            yield "    next"
    yield "end"


def _policies(name: str) -> Iterator[str]:
    yield "config firewall policy"
    inside = "YOUR_INSIDE_INTERFACE"
    for direction, start, target, source, destination in (
        ("out", inside, name, "own", "hosted"),
        ("in", name, inside, "hosted", "own"),
    ):
        yield "    edit 0"
        yield f'        set name "{name}-{direction}"'
        yield f'        set srcintf "{start}"'
        yield f'        set dstintf "{target}"'
        yield f'        set srcaddr "{name}-{source}"'
        yield f'        set dstaddr "{name}-{destination}"'
        yield "        set action accept"
        yield '        set schedule "always"'
        yield '        set service "ALL"'
        yield "    next"
    yield "end"
