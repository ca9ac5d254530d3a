"""MikroTik RouterOS 7: commands for the terminal, or an .rsc file for /import.

RouterOS manual, "IPsec" (https://help.mikrotik.com/docs/display/ROS/IPsec): Profiles, Peers,
Identities, Proposals, Policies. Phase one has no GCM and no SHA384, phase two no SHA384, and there
is no group 31. A policy has one network at each side. A secret that begins with 0x is hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import Words, phase_one, phase_two
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
PROFILE = Words(
    {"DES": "des", "3DES": "3des", "AES128": "aes-128", "AES192": "aes-192", "AES256": "aes-256"},
    HASHES,
    GROUPS,
)
PROPOSAL = Words(
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


def mikrotik(end: PeerView) -> str:
    """`ipsec038.rsc`."""
    remarks = Remarks("MikroTik RouterOS")
    pairs_remark(end, remarks)
    body = [*_ike(end, remarks), *_ipsec(end, remarks)]
    first = head(
        "#",
        end,
        remarks,
        "Paste it into the terminal. In the key, put a backslash before each double quote, dollar"
        " sign and backslash. A key that begins with 0x is taken as hexadecimal.",
        "The last lines keep source NAT away from the tunnel and must stand before it. Without any"
        " NAT rule leave place-before=0 out.",
    )
    return "\n".join((*first, *body, ""))


def _ike(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_one(end, PROFILE, remarks)
    dpd = f"{end.dpd}s dpd-maximum-failures=3" if end.dpd else "disable-dpd"
    yield (
        f"/ip ipsec profile add name={end.name} enc-algorithm={said.encryption}"
        f" hash-algorithm={said.authentication} dh-group={said.group}"
        f" lifetime={duration(end.phase_one.keylife)} dpd-interval={dpd} nat-traversal=yes"
    )
    yield (
        f"/ip ipsec peer add name={end.name} address={end.concentrator}/32"
        f" local-address={end.address} profile={end.name}"
        f" exchange-mode={'ike2' if end.ikev2 else 'main'}"
    )
    yield (
        f"/ip ipsec identity add peer={end.name} auth-method=pre-shared-key"
        f' my-id=address:{end.address} remote-id=address:{end.concentrator} secret="{KEY}"'
    )


def _ipsec(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_two(end, PROPOSAL, remarks)
    yield (
        f"/ip ipsec proposal add name={end.name} enc-algorithms={said.encryption}"
        f" auth-algorithms={said.authentication or 'null'} pfs-group={said.group or 'none'}"
        f" lifetime={duration(end.phase_two.keylife)}"
    )
    for own, hosted in end.pairs:
        yield (
            f"/ip ipsec policy add peer={end.name} tunnel=yes src-address={own.cidr}"
            f" dst-address={hosted.cidr} proposal={end.name} level=unique"
        )
    for own, hosted in end.pairs:
        yield (
            f"/ip firewall nat add chain=srcnat action=accept src-address={own.cidr}"
            f" dst-address={hosted.cidr} place-before=0"
        )


def duration(seconds: int) -> str:
    """As RouterOS writes a time: `4h`, `45m10s`, `2d`."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
