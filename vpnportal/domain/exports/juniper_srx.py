"""Juniper SRX: a route-based VPN with traffic selectors, as `set` commands.

Junos CLI Reference: proposal (Security IKE), policy (Security IKE), gateway (Security IKE),
dead-peer-detection, proposal (Security IPsec), policy (Security IPsec), vpn (Security IPsec);
IPsec VPN User Guide, "Traffic Selectors in Route-Based VPNs": one local and one remote network in
each, IKEv1 since 12.1X46-D10 and IKEv2 since 15.1X49-D100. lifetime-seconds is 180 to 86400 in both
phases; dead-peer-detection interval 2 to 60 (10 to 60 before 18.1), threshold 1 to 5.
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
from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

CIPHERS = {
    "DES": "des-cbc",
    "3DES": "3des-cbc",
    "AES128": "aes-128-cbc",
    "AES192": "aes-192-cbc",
    "AES256": "aes-256-cbc",
    "AES128-GCM": "aes-128-gcm",
    "AES256-GCM": "aes-256-gcm",
}
GROUPS = numbered_groups((1, 2, 5, 14, 15, 16, 19, 20, 21), "group{}")
IKE = AlgorithmNames(
    CIPHERS,
    {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha-256", "SHA384": "sha-384", "SHA512": "sha-512"},
    GROUPS,
)
IPSEC = AlgorithmNames(
    {**CIPHERS, "AES192-GCM": "aes-192-gcm"},
    {
        "MD5": "hmac-md5-96",
        "SHA1": "hmac-sha1-96",
        "SHA256": "hmac-sha-256-128",
        "SHA384": "hmac-sha-384",
        "SHA512": "hmac-sha-512",
    },
    GROUPS,
)
SECONDS, DPD_SECONDS = range(180, 86_400 + 1), range(10, 60 + 1)


def juniper_srx(peer: PeerView) -> str:
    """Return commands for the configuration mode, or for `load set terminal`."""
    remarks = Remarks("Juniper SRX")
    pairs_remark(peer, remarks)
    body = [*_ike(peer, remarks), *_ipsec(peer, remarks), *_zones(peer)]
    first = head(
        "#",
        peer,
        remarks,
        "Paste after: configure. Then run: commit check, and: commit. Replace"
        " YOUR_OUTSIDE_INTERFACE (such as ge-0/0/0.0), YOUR_OUTSIDE_ZONE and YOUR_INSIDE_ZONE with"
        " your names, and YOUR_UNIT with a free number.",
        "Traffic selectors add their routes. Exclude the tunnel from source NAT.",
    )
    return "\n".join((*first, *(f"set {line}" for line in body), ""))


def _ike(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_one_names(peer, IKE, remarks)
    keylife = remarks.seconds(peer.phase_one.keylife, SECONDS, "a phase 1 key life")
    proposal = f"security ike proposal {peer.name}"
    yield f"{proposal} authentication-method pre-shared-keys"
    yield f"{proposal} dh-group {names.group}"
    if is_aead(peer.phase_one.encryption):
        remarks.add(
            "Juniper SRX selects the PRF for GCM in phase 1 itself: if phase 1 is rejected, its PRF"
            f" may differ from {peer.phase_one.authentication}."
        )
    else:
        yield f"{proposal} authentication-algorithm {names.authentication}"
    yield f"{proposal} encryption-algorithm {names.encryption}"
    yield f"{proposal} lifetime-seconds {keylife}"
    policy = f"security ike policy {peer.name}"
    if not peer.ikev2:
        yield f"{policy} mode main"
    yield f"{policy} proposals {peer.name}"
    yield f'{policy} pre-shared-key ascii-text "{KEY}"'
    gateway = f"security ike gateway {peer.name}"
    yield f"{gateway} ike-policy {peer.name}"
    yield f"{gateway} address {peer.concentrator}"
    yield f"{gateway} local-identity inet {peer.address}"
    yield f"{gateway} remote-identity inet {peer.concentrator}"
    yield f"{gateway} external-interface YOUR_OUTSIDE_INTERFACE"
    yield f"{gateway} version {'v2-only' if peer.ikev2 else 'v1-only'}"
    if peer.dpd:
        interval = remarks.seconds(peer.dpd, DPD_SECONDS, "a DPD interval")
        yield f"{gateway} dead-peer-detection always-send"
        yield f"{gateway} dead-peer-detection interval {interval}"
        yield f"{gateway} dead-peer-detection threshold 3"


def _ipsec(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    names = phase_two_names(peer, IPSEC, remarks)
    keylife = remarks.seconds(peer.phase_two.keylife, SECONDS, "a phase 2 key life")
    proposal = f"security ipsec proposal {peer.name}"
    yield f"{proposal} protocol esp"
    if names.authentication:
        yield f"{proposal} authentication-algorithm {names.authentication}"
    yield f"{proposal} encryption-algorithm {names.encryption}"
    yield f"{proposal} lifetime-seconds {keylife}"
    policy = f"security ipsec policy {peer.name}"
    if names.group:
        yield f"{policy} perfect-forward-secrecy keys {names.group}"
    yield f"{policy} proposals {peer.name}"
    vpn = f"security ipsec vpn {peer.name}"
    yield f"{vpn} bind-interface st0.YOUR_UNIT"
    yield f"{vpn} ike gateway {peer.name}"
    yield f"{vpn} ike ipsec-policy {peer.name}"
    for number, (own, hosted) in enumerate(peer.pairs, 1):
        selector = f"{vpn} traffic-selector pair-{number}"
        yield f"{selector} local-ip {own.cidr} remote-ip {hosted.cidr}"
    yield f"{vpn} establish-tunnels {'immediately' if peer.must_initiate else 'on-traffic'}"
    yield "interfaces st0 unit YOUR_UNIT family inet"


def _zones(peer: PeerView) -> Iterator[str]:
    yield "security zones security-zone YOUR_OUTSIDE_ZONE host-inbound-traffic system-services ike"
    yield f"security zones security-zone {peer.name} interfaces st0.YOUR_UNIT"
    sides = {"own": peer.own, "hosted": peer.hosted}
    for side, networks in sides.items():
        for number, network in enumerate(networks, 1):
            name = f"{peer.name}-{side}"
            yield f"security address-book global address {name}-{number} {network.cidr}"
            yield f"security address-book global address-set {name} address {name}-{number}"
    inside = "YOUR_INSIDE_ZONE"
    for start, target, source, destination in (
        (inside, peer.name, "own", "hosted"),
        (peer.name, inside, "hosted", "own"),
    ):
        policy = f"security policies from-zone {start} to-zone {target} policy {peer.name}"
        yield f"{policy} match source-address {peer.name}-{source}"
        yield f"{policy} match destination-address {peer.name}-{destination}"
        yield f"{policy} match application any"
        yield f"{policy} then permit"
