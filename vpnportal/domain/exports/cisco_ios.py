"""Cisco IOS and IOS XE: a crypto map, with IKEv1 (isakmp) or IKEv2.

Cisco IOS Security Command Reference: crypto isakmp policy, crypto isakmp key, crypto isakmp
keepalive, crypto ikev2 proposal / policy / keyring / profile, crypto ipsec transform-set, crypto
map, set pfs, set security-association lifetime. Value ranges from Cisco's own model of the
commands, Cisco-IOS-XE-crypto.yang: isakmp lifetime 60 to 86400, DPD interval 10 to 3600 and retry
2 to 60. Weak algorithms: Cisco Field Notice FN72510.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    DeviceNames,
    is_aead,
    numbered_groups,
    phase_one_names,
    phase_two_names,
)
from vpnportal.domain.exports.header import head, pairs_remark
from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

GROUPS = (1, 2, 5, 14, 15, 16, 19, 20, 21)
HASHES = {"MD5": "md5", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}
ISAKMP = AlgorithmNames(
    {"DES": "des", "3DES": "3des", "AES128": "aes", "AES192": "aes 192", "AES256": "aes 256"},
    {**HASHES, "SHA1": "sha"},
    numbered_groups(GROUPS),
)
IKEV2 = AlgorithmNames(
    {
        "DES": "des",
        "3DES": "3des",
        "AES128": "aes-cbc-128",
        "AES192": "aes-cbc-192",
        "AES256": "aes-cbc-256",
        "AES128-GCM": "aes-gcm-128",
        "AES256-GCM": "aes-gcm-256",
    },
    {**HASHES, "SHA1": "sha1"},
    numbered_groups(GROUPS),
)
IPSEC = AlgorithmNames(
    {
        "DES": "esp-des",
        "3DES": "esp-3des",
        "AES128": "esp-aes",
        "AES192": "esp-aes 192",
        "AES256": "esp-aes 256",
        "AES128-GCM": "esp-gcm",
        "AES192-GCM": "esp-gcm 192",
        "AES256-GCM": "esp-gcm 256",
    },
    {
        "MD5": "esp-md5-hmac",
        "SHA1": "esp-sha-hmac",
        "SHA256": "esp-sha256-hmac",
        "SHA384": "esp-sha384-hmac",
        "SHA512": "esp-sha512-hmac",
    },
    numbered_groups(GROUPS, "group{}"),
)
IKE_SECONDS, IPSEC_SECONDS = range(120, 86_400 + 1), range(120, 86_400 + 1)
DPD_SECONDS = range(10, 3_600 + 1)
WEAK = {"DES", "3DES", "MD5", 1, 2, 5}


def cisco_ios(peer: PeerView) -> str:
    """Return commands for the configuration mode."""
    remarks = Remarks("Cisco IOS")
    pairs_remark(peer, remarks)
    _weak_remark(peer, remarks)
    ike = (_ikev2 if peer.ikev2 else _isakmp)(peer, remarks)
    body = [*ike, *_ipsec(peer, remarks)]
    first = head(
        "!",
        peer,
        remarks,
        "Paste after: configure terminal. Replace YOUR_OUTSIDE_INTERFACE with your internet"
        " interface. An interface has one crypto map: if yours has one already, use its name, and"
        " a free sequence number instead of 10.",
        "In the preshared key, type Ctrl-V before each question mark.",
        "Exclude the subnet pairs from NAT: deny them in the access list of ip nat inside source.",
    )
    return "\n".join((*first, *body, ""))


def _isakmp(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_one_names(peer, ISAKMP, remarks)
    yield "crypto isakmp policy 10"
    yield f" encryption {names.encryption}"
    yield f" hash {names.authentication}"
    yield " authentication pre-share"
    yield f" group {names.group}"
    yield f" lifetime {remarks.seconds(peer.phase_one.keylife, IKE_SECONDS, 'a phase 1 key life')}"
    yield "exit"
    yield f"crypto isakmp key {KEY} address {peer.concentrator} no-xauth"
    if peer.dpd:
        yield f"crypto isakmp keepalive {_dpd(peer, remarks)}"


def _ikev2(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    yield f"crypto ikev2 proposal {peer.name}"
    yield from (f" {line}" for line in _proposal(peer, phase_one_names(peer, IKEV2, remarks)))
    yield "exit"
    yield f"crypto ikev2 policy {peer.name}"
    yield f" match address local {peer.address}"
    yield f" proposal {peer.name}"
    yield "exit"
    yield f"crypto ikev2 keyring {peer.name}"
    yield f" peer {peer.name}"
    yield f"  address {peer.concentrator}"
    yield f"  pre-shared-key {KEY}"
    yield " exit"
    yield "exit"
    yield f"crypto ikev2 profile {peer.name}"
    yield f" match identity remote address {peer.concentrator} 255.255.255.255"
    yield f" identity local address {peer.address}"
    yield " authentication remote pre-share"
    yield " authentication local pre-share"
    yield f" keyring local {peer.name}"
    yield f" lifetime {remarks.seconds(peer.phase_one.keylife, IKE_SECONDS, 'a phase 1 key life')}"
    if peer.dpd:
        yield f" dpd {_dpd(peer, remarks)}"
    yield "exit"


def _proposal(peer: PeerView, names: DeviceNames) -> Iterator[str]:
    yield f"encryption {names.encryption}"
    if is_aead(peer.phase_one.encryption):
        yield f"prf {names.authentication}"
    else:
        yield f"integrity {names.authentication}"
    yield f"group {names.group}"


def _ipsec(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_two_names(peer, IPSEC, remarks)
    transforms = " ".join(name for name in names[:2] if name)
    keylife = remarks.seconds(peer.phase_two.keylife, IPSEC_SECONDS, "a phase 2 key life")
    yield f"crypto ipsec transform-set {peer.name} {transforms}"
    yield " mode tunnel"
    yield "exit"
    yield f"ip access-list extended {peer.name}"
    for own, hosted in peer.pairs:
        yield f" permit ip {own.address} {own.wildcard} {hosted.address} {hosted.wildcard}"
    yield "exit"
    yield f"crypto map {peer.name} 10 ipsec-isakmp"
    yield f" set peer {peer.concentrator}"
    yield f" set transform-set {peer.name}"
    if names.group:
        yield f" set pfs {names.group}"
    yield f" set security-association lifetime seconds {keylife}"
    # The concentrator has no key life by traffic.
    yield " set security-association lifetime kilobytes disable"
    if peer.ikev2:
        yield f" set ikev2-profile {peer.name}"
    yield f" match address {peer.name}"
    yield "exit"
    yield "interface YOUR_OUTSIDE_INTERFACE"
    yield f" crypto map {peer.name}"
    yield "exit"


def _dpd(peer: PeerView, remarks: Remarks) -> str:
    return f"{remarks.seconds(peer.dpd, DPD_SECONDS, 'a DPD interval')} 5 periodic"


def _weak_remark(peer: PeerView, remarks: Remarks) -> None:
    phase_one, phase_two = peer.phase_one, peer.phase_two
    used = {phase_one.encryption, phase_one.authentication, phase_one.group}
    used |= {phase_two.encryption, phase_two.authentication}
    if WEAK & {*used, *((phase_two.group,) if phase_two.pfs else ())}:
        remarks.add(
            "IOS XE 17.11 and later accept DES, 3DES, MD5 and groups 1, 2 and 5 only after the"
            " command crypto engine compliance shield disable and a reload (Cisco Field Notice"
            " 72510)."
        )
