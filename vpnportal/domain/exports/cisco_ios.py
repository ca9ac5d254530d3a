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
    DeviceNames,
    Words,
    is_aead,
    numbered,
    phase_one,
    phase_two,
)
from vpnportal.domain.exports.header import head, pairs_remark
from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

GROUPS = (1, 2, 5, 14, 15, 16, 19, 20, 21)
HASHES = {"MD5": "md5", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}
ISAKMP = Words(
    {"DES": "des", "3DES": "3des", "AES128": "aes", "AES192": "aes 192", "AES256": "aes 256"},
    {**HASHES, "SHA1": "sha"},
    numbered(GROUPS),
)
IKEV2 = Words(
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
    numbered(GROUPS),
)
IPSEC = Words(
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
    numbered(GROUPS, "group{}"),
)
IKE_SECONDS, IPSEC_SECONDS = range(120, 86_400 + 1), range(120, 86_400 + 1)
DPD_SECONDS = range(10, 3_600 + 1)
WEAK = {"DES", "3DES", "MD5", 1, 2, 5}


def cisco_ios(end: PeerView) -> str:
    """Commands for the configuration mode."""
    remarks = Remarks("Cisco IOS")
    pairs_remark(end, remarks)
    _weak_remark(end, remarks)
    ike = (_ikev2 if end.ikev2 else _isakmp)(end, remarks)
    body = [*ike, *_ipsec(end, remarks)]
    first = head(
        "!",
        end,
        remarks,
        "Paste it after: configure terminal. Put your interface towards the internet in the place"
        " of YOUR_OUTSIDE_INTERFACE. An interface has one crypto map: if yours has one already, use"
        " its name. 10 stands for a free number.",
        "In the key, type Ctrl-V before a question mark.",
        "Traffic into the tunnel must not be translated: deny these pairs of networks in the access"
        " list of ip nat inside source.",
    )
    return "\n".join((*first, *body, ""))


def _isakmp(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_one(end, ISAKMP, remarks)
    yield "crypto isakmp policy 10"
    yield f" encryption {said.encryption}"
    yield f" hash {said.authentication}"
    yield " authentication pre-share"
    yield f" group {said.group}"
    yield f" lifetime {remarks.seconds(end.phase_one.keylife, IKE_SECONDS, 'a phase one key life')}"
    yield "exit"
    yield f"crypto isakmp key {KEY} address {end.concentrator} no-xauth"
    if end.dpd:
        yield f"crypto isakmp keepalive {_dpd(end, remarks)}"


def _ikev2(end: PeerView, remarks: Remarks) -> Iterator[str]:
    yield f"crypto ikev2 proposal {end.name}"
    yield from (f" {line}" for line in _proposal(end, phase_one(end, IKEV2, remarks)))
    yield "exit"
    yield f"crypto ikev2 policy {end.name}"
    yield f" match address local {end.address}"
    yield f" proposal {end.name}"
    yield "exit"
    yield f"crypto ikev2 keyring {end.name}"
    yield f" peer {end.name}"
    yield f"  address {end.concentrator}"
    yield f"  pre-shared-key {KEY}"
    yield " exit"
    yield "exit"
    yield f"crypto ikev2 profile {end.name}"
    yield f" match identity remote address {end.concentrator} 255.255.255.255"
    yield f" identity local address {end.address}"
    yield " authentication remote pre-share"
    yield " authentication local pre-share"
    yield f" keyring local {end.name}"
    yield f" lifetime {remarks.seconds(end.phase_one.keylife, IKE_SECONDS, 'a phase one key life')}"
    if end.dpd:
        yield f" dpd {_dpd(end, remarks)}"
    yield "exit"


def _proposal(end: PeerView, said: DeviceNames) -> Iterator[str]:
    yield f"encryption {said.encryption}"
    if is_aead(end.phase_one.encryption):
        yield f"prf {said.authentication}"
    else:
        yield f"integrity {said.authentication}"
    yield f"group {said.group}"


def _ipsec(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_two(end, IPSEC, remarks)
    transforms = " ".join(word for word in said[:2] if word)
    keylife = remarks.seconds(end.phase_two.keylife, IPSEC_SECONDS, "a phase two key life")
    yield f"crypto ipsec transform-set {end.name} {transforms}"
    yield " mode tunnel"
    yield "exit"
    yield f"ip access-list extended {end.name}"
    for own, hosted in end.pairs:
        yield f" permit ip {own.address} {own.wildcard} {hosted.address} {hosted.wildcard}"
    yield "exit"
    yield f"crypto map {end.name} 10 ipsec-isakmp"
    yield f" set peer {end.concentrator}"
    yield f" set transform-set {end.name}"
    if said.group:
        yield f" set pfs {said.group}"
    yield f" set security-association lifetime seconds {keylife}"
    # Traffic ends no key at the concentrator, so it does not here.
    yield " set security-association lifetime kilobytes disable"
    if end.ikev2:
        yield f" set ikev2-profile {end.name}"
    yield f" match address {end.name}"
    yield "exit"
    yield "interface YOUR_OUTSIDE_INTERFACE"
    yield f" crypto map {end.name}"
    yield "exit"


def _dpd(end: PeerView, remarks: Remarks) -> str:
    return (
        f"{remarks.seconds(end.dpd, DPD_SECONDS, 'an interval of dead peer detection')} 5 periodic"
    )


def _weak_remark(end: PeerView, remarks: Remarks) -> None:
    one, two = end.phase_one, end.phase_two
    used = {one.encryption, one.authentication, one.group, two.encryption, two.authentication}
    if WEAK & {*used, *((two.group,) if two.pfs else ())}:
        remarks.add(
            "IOS XE 17.11 and later take DES, 3DES, MD5 and the groups 1, 2 and 5 only after:"
            " crypto engine compliance shield disable, and a reload (Cisco Field Notice 72510)."
        )
