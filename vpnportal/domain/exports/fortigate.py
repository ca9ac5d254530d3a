"""FortiGate: an interface-mode VPN for the command line of FortiOS 6.2 and later.

FortiOS CLI Reference: vpn ipsec phase1-interface, vpn ipsec phase2-interface, firewall address,
firewall addrgrp, router static, firewall policy; Administration Guide, "Phase 1 configuration": the
name of an interface-mode VPN has at most 15 characters. keylife and keylifeseconds are 120 to
172800, as the panel's.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import Words, is_aead, numbered, phase_one, phase_two
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
GROUPS = numbered((1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31))
WORDS = Words(CIPHERS, HASHES, GROUPS)
# The PRF of a GCM cipher has no MD5.
AEAD = Words(
    CIPHERS, {name: f"prf{word}" for name, word in HASHES.items() if name != "MD5"}, GROUPS
)
LONGEST_NAME = 15
SECONDS, DPD_SECONDS = range(120, 172_800 + 1), range(1, 3_600 + 1)


def fortigate(end: PeerView) -> str:
    """Commands for the CLI, or for a script."""
    remarks = Remarks("FortiGate")
    pairs_remark(end, remarks)
    name = identifier(end.name, LONGEST_NAME)
    body = [
        *_phase_one(end, name, remarks),
        *_phase_two(end, name, remarks),
        *_addresses(name, "own", end.own),
        *_addresses(name, "hosted", end.hosted),
        *_routes(end, name),
        *_policies(name),
    ]
    first = head(
        "#",
        end,
        remarks,
        "In the key, put a backslash before each double quote and each backslash.",
        "Paste it into the CLI. Put your own names in the place of YOUR_OUTSIDE_INTERFACE and"
        " YOUR_INSIDE_INTERFACE. The policies translate nothing: leave NAT off in them.",
    )
    return "\n".join((*first, *body, ""))


def _phase_one(end: PeerView, name: str, remarks: Remarks) -> Iterator[str]:
    aead = is_aead(end.phase_one.encryption)
    said = phase_one(end, AEAD if aead else WORDS, remarks)
    keylife = remarks.seconds(end.phase_one.keylife, SECONDS, "a phase one key life")
    yield from ("config vpn ipsec phase1-interface", f'    edit "{name}"')
    yield '        set interface "YOUR_OUTSIDE_INTERFACE"'
    yield f"        set ike-version {'2' if end.ikev2 else '1'}"
    if not end.ikev2:
        yield "        set mode main"
    yield "        set peertype any"
    yield "        set net-device disable"
    yield f"        set keylife {keylife}"
    yield f"        set proposal {said.encryption}-{said.authentication}"
    yield f"        set dhgrp {said.group}"
    yield f"        set remote-gw {end.concentrator}"
    yield f'        set psksecret "{KEY}"'
    if end.dpd:
        interval = remarks.seconds(end.dpd, DPD_SECONDS, "an interval of dead peer detection")
        yield "        set dpd on-idle"
        yield "        set dpd-retrycount 3"
        yield f"        set dpd-retryinterval {interval}"
    else:
        yield "        set dpd disable"
    yield from ("    next", "end")


def _phase_two(end: PeerView, name: str, remarks: Remarks) -> Iterator[str]:
    said = phase_two(end, WORDS, remarks)
    proposal = "-".join(word for word in said[:2] if word)
    keylife = remarks.seconds(end.phase_two.keylife, SECONDS, "a phase two key life")
    yield "config vpn ipsec phase2-interface"
    for number, (own, hosted) in enumerate(end.pairs, 1):
        yield f'    edit "{name}-{number}"'
        yield f'        set phase1name "{name}"'
        yield f"        set proposal {proposal}"
        if said.group:
            yield from ("        set pfs enable", f"        set dhgrp {said.group}")
        else:
            yield "        set pfs disable"
        yield "        set keylife-type seconds"
        yield f"        set keylifeseconds {keylife}"
        yield f"        set auto-negotiate {'enable' if end.must_start else 'disable'}"
        yield f"        set src-subnet {own.address} {own.mask}"
        yield f"        set dst-subnet {hosted.address} {hosted.mask}"
        yield "    next"
    yield "end"


def _addresses(name: str, side: str, networks: tuple[PeerSubnet, ...]) -> Iterator[str]:
    names = [f'"{name}-{side}-{number}"' for number, _ in enumerate(networks, 1)]
    yield "config firewall address"
    for one, network in zip(names, networks, strict=True):
        yield f"    edit {one}"
        yield f"        set subnet {network.address} {network.mask}"
        yield "    next"
    yield from ("end", "config firewall addrgrp", f'    edit "{name}-{side}"')
    yield f"        set member {' '.join(names)}"
    yield from ("    next", "end")


def _routes(end: PeerView, name: str) -> Iterator[str]:
    """The second route of each network keeps its traffic off the internet while it is down."""
    yield "config router static"
    for one in end.hosted:
        for way in (f'device "{name}"', "blackhole enable\n        set distance 254"):
            yield "    edit 0"
            yield f"        set dst {one.address} {one.mask}"
            yield from f"        set {way}".split("\n")
            yield "    next"
    yield "end"


def _policies(name: str) -> Iterator[str]:
    yield "config firewall policy"
    inside = "YOUR_INSIDE_INTERFACE"
    for way, start, target, source, destination in (
        ("out", inside, name, "own", "hosted"),
        ("in", name, inside, "hosted", "own"),
    ):
        yield "    edit 0"
        yield f'        set name "{name}-{way}"'
        yield f'        set srcintf "{start}"'
        yield f'        set dstintf "{target}"'
        yield f'        set srcaddr "{name}-{source}"'
        yield f'        set dstaddr "{name}-{destination}"'
        yield "        set action accept"
        yield '        set schedule "always"'
        yield '        set service "ALL"'
        yield "    next"
    yield "end"
