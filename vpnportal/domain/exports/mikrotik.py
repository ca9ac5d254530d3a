"""MikroTik RouterOS 7: commands for the terminal, or an .rsc file for /import.

RouterOS manual, "IPsec" (https://help.mikrotik.com/docs/display/ROS/IPsec): Profiles, Peers,
Identities, Proposals, Policies. Phase 1 has no GCM and no SHA384, phase 2 no SHA384, and there is
no group 31. A policy has one network per side. A secret that begins with 0x is hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    phase_one_names,
    phase_two_names,
)
from vpnportal.domain.exports.header import head, pairs_remark
from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

GROUPS = {
    1: "modp768",
    2: "modp1024",
    5: "modp1536",
    14: "modp2048",
    15: "modp3072",
    16: "modp4096",
    17: "modp6144",
    18: "modp8192",
    19: "ecp256",
    20: "ecp384",
    21: "ecp521",
}
HASHES = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}
PROFILE = AlgorithmNames(
    {"DES": "des", "3DES": "3des", "AES128": "aes-128", "AES192": "aes-192", "AES256": "aes-256"},
    HASHES,
    GROUPS,
)
PROPOSAL = AlgorithmNames(
    {
        "DES": "des",
        "3DES": "3des",
        "AES128": "aes-128-cbc",
        "AES192": "aes-192-cbc",
        "AES256": "aes-256-cbc",
        "AES128-GCM": "aes-128-gcm",
        "AES192-GCM": "aes-192-gcm",
        "AES256-GCM": "aes-256-gcm",
    },
    HASHES,
    GROUPS,
)


def mikrotik(peer: PeerView) -> str:
    """Return the text of a file such as `ipsec038.rsc`."""
    remarks = Remarks("MikroTik RouterOS")
    pairs_remark(peer, remarks)
    body = [*_ike(peer, remarks), *_ipsec(peer, remarks)]
    first = head(
        "#",
        peer,
        remarks,
        "Paste into the terminal. Escape double quotes, dollar signs and backslashes in the"
        " preshared key with a backslash. A key that begins with 0x is hexadecimal.",
        "The last lines exclude the tunnel from source NAT and must come before it. Without NAT"
        " rules, omit place-before=0.",
    )
    return "\n".join((*first, *body, ""))


def _ike(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_one_names(peer, PROFILE, remarks)
    dpd = f"{peer.dpd}s dpd-maximum-failures=3" if peer.dpd else "disable-dpd"
    yield (
        f"/ip ipsec profile add name={peer.name} enc-algorithm={names.encryption}"
        f" hash-algorithm={names.authentication} dh-group={names.group}"
        f" lifetime={duration(peer.phase_one.keylife)} dpd-interval={dpd} nat-traversal=yes"
    )
    yield (
        f"/ip ipsec peer add name={peer.name} address={peer.concentrator}/32"
        f" local-address={peer.address} profile={peer.name}"
        f" exchange-mode={'ike2' if peer.ikev2 else 'main'}"
    )
    yield (
        f"/ip ipsec identity add peer={peer.name} auth-method=pre-shared-key"
        f' my-id=address:{peer.address} remote-id=address:{peer.concentrator} secret="{KEY}"'
    )


def _ipsec(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_two_names(peer, PROPOSAL, remarks)
    yield (
        f"/ip ipsec proposal add name={peer.name} enc-algorithms={names.encryption}"
        f" auth-algorithms={names.authentication or 'null'} pfs-group={names.group or 'none'}"
        f" lifetime={duration(peer.phase_two.keylife)}"
    )
    for own, hosted in peer.pairs:
        yield (
            f"/ip ipsec policy add peer={peer.name} tunnel=yes src-address={own.cidr}"
            f" dst-address={hosted.cidr} proposal={peer.name} level=unique"
        )
    for own, hosted in peer.pairs:
        yield (
            f"/ip firewall nat add chain=srcnat action=accept src-address={own.cidr}"
            f" dst-address={hosted.cidr} place-before=0"
        )


def duration(seconds: int) -> str:
    """Return a time in the syntax of RouterOS, such as `4h`, `45m10s` or `2d`."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
