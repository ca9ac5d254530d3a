"""Juniper SRX: a route-based VPN with traffic selectors, as `set` commands.

Junos CLI Reference: proposal (Security IKE), policy (Security IKE), gateway (Security IKE),
dead-peer-detection, proposal (Security IPsec), policy (Security IPsec), vpn (Security IPsec);
IPsec VPN User Guide, "Traffic Selectors in Route-Based VPNs": one local and one remote network in
each, IKEv1 since 12.1X46-D10 and IKEv2 since 15.1X49-D100. lifetime-seconds is 180 to 86400 in both
phases; dead-peer-detection interval 2 to 60 (10 to 60 before 18.1), threshold 1 to 5.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import Words, is_aead, numbered, phase_one, phase_two
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
GROUPS = numbered((1, 2, 5, 14, 15, 16, 19, 20, 21), "group{}")
IKE = Words(
    CIPHERS,
    {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha-256", "SHA384": "sha-384", "SHA512": "sha-512"},
    GROUPS,
)
IPSEC = Words(
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


def juniper_srx(end: PeerView) -> str:
    """Commands for the configuration mode, or for `load set terminal`."""
    remarks = Remarks("Juniper SRX")
    pairs_remark(end, remarks)
    body = [*_ike(end, remarks), *_ipsec(end, remarks), *_zones(end)]
    first = head(
        "#",
        end,
        remarks,
        "Paste it after: configure, then: commit check, and: commit. Put your own names in the"
        " place of YOUR_OUTSIDE_INTERFACE (such as ge-0/0/0.0), YOUR_OUTSIDE_ZONE and"
        " YOUR_INSIDE_ZONE, and a free number in the place of YOUR_UNIT.",
        "Traffic selectors bring their own routes. Traffic into the tunnel must not be translated"
        " by source NAT.",
    )
    return "\n".join((*first, *(f"set {line}" for line in body), ""))


def _ike(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_one(end, IKE, remarks)
    keylife = remarks.seconds(end.phase_one.keylife, SECONDS, "a phase one key life")
    proposal = f"security ike proposal {end.name}"
    yield f"{proposal} authentication-method pre-shared-keys"
    yield f"{proposal} dh-group {said.group}"
    if is_aead(end.phase_one.encryption):
        remarks.add(
            "Juniper SRX chooses the pseudo-random function of GCM in phase one by itself: if phase"
            f" one is refused, {end.phase_one.authentication} may not be its choice."
        )
    else:
        yield f"{proposal} authentication-algorithm {said.authentication}"
    yield f"{proposal} encryption-algorithm {said.encryption}"
    yield f"{proposal} lifetime-seconds {keylife}"
    policy = f"security ike policy {end.name}"
    if not end.ikev2:
        yield f"{policy} mode main"
    yield f"{policy} proposals {end.name}"
    yield f'{policy} pre-shared-key ascii-text "{KEY}"'
    gateway = f"security ike gateway {end.name}"
    yield f"{gateway} ike-policy {end.name}"
    yield f"{gateway} address {end.concentrator}"
    yield f"{gateway} local-identity inet {end.address}"
    yield f"{gateway} remote-identity inet {end.concentrator}"
    yield f"{gateway} external-interface YOUR_OUTSIDE_INTERFACE"
    yield f"{gateway} version {'v2-only' if end.ikev2 else 'v1-only'}"
    if end.dpd:
        interval = remarks.seconds(end.dpd, DPD_SECONDS, "an interval of dead peer detection")
        yield f"{gateway} dead-peer-detection always-send"
        yield f"{gateway} dead-peer-detection interval {interval}"
        yield f"{gateway} dead-peer-detection threshold 3"


def _ipsec(end: PeerView, remarks: Remarks) -> Iterator[str]:
    said = phase_two(end, IPSEC, remarks)
    keylife = remarks.seconds(end.phase_two.keylife, SECONDS, "a phase two key life")
    proposal = f"security ipsec proposal {end.name}"
    yield f"{proposal} protocol esp"
    if said.authentication:
        yield f"{proposal} authentication-algorithm {said.authentication}"
    yield f"{proposal} encryption-algorithm {said.encryption}"
    yield f"{proposal} lifetime-seconds {keylife}"
    policy = f"security ipsec policy {end.name}"
    if said.group:
        yield f"{policy} perfect-forward-secrecy keys {said.group}"
    yield f"{policy} proposals {end.name}"
    vpn = f"security ipsec vpn {end.name}"
    yield f"{vpn} bind-interface st0.YOUR_UNIT"
    yield f"{vpn} ike gateway {end.name}"
    yield f"{vpn} ike ipsec-policy {end.name}"
    for number, (own, hosted) in enumerate(end.pairs, 1):
        selector = f"{vpn} traffic-selector pair-{number}"
        yield f"{selector} local-ip {own.cidr} remote-ip {hosted.cidr}"
    yield f"{vpn} establish-tunnels {'immediately' if end.must_start else 'on-traffic'}"
    yield "interfaces st0 unit YOUR_UNIT family inet"


def _zones(end: PeerView) -> Iterator[str]:
    yield "security zones security-zone YOUR_OUTSIDE_ZONE host-inbound-traffic system-services ike"
    yield f"security zones security-zone {end.name} interfaces st0.YOUR_UNIT"
    sides = {"own": end.own, "hosted": end.hosted}
    for side, networks in sides.items():
        for number, one in enumerate(networks, 1):
            name = f"{end.name}-{side}"
            yield f"security address-book global address {name}-{number} {one.cidr}"
            yield f"security address-book global address-set {name} address {name}-{number}"
    inside = "YOUR_INSIDE_ZONE"
    for start, target, source, destination in (
        (inside, end.name, "own", "hosted"),
        (end.name, inside, "hosted", "own"),
    ):
        policy = f"security policies from-zone {start} to-zone {target} policy {end.name}"
        yield f"{policy} match source-address {end.name}-{source}"
        yield f"{policy} match destination-address {end.name}-{destination}"
        yield f"{policy} match application any"
        yield f"{policy} then permit"
