"""pfSense: values for the pages of VPN, IPsec, Tunnels.

pfSense's own lists of choices are in its src/etc/inc/ipsec.inc ($p1_ealgos, $p1_halgos,
$p1_dhgroups, $p2_ealgos, $p2_halgos); the fields are those of its documentation, "IPsec
Configuration", phase 1 and phase 2 settings. FreeBSD removed 3DES and HMAC-MD5 from ESP in r360557
(FreeBSD 13), which pfSense CE 2.7 and later are built on.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    phase_one_names,
    phase_two_names,
)
from vpnportal.domain.exports.form_values import Field, page
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

NAMES = AlgorithmNames(
    {
        "3DES": "3DES",
        "AES128": "AES, 128 bits",
        "AES192": "AES, 192 bits",
        "AES256": "AES, 256 bits",
        "AES128-GCM": "AES128-GCM, 128 bits",
        "AES192-GCM": "AES192-GCM, 128 bits",
        "AES256-GCM": "AES256-GCM, 128 bits",
    },
    {name: name for name in ("MD5", "SHA1", "SHA256", "SHA384", "SHA512")},
    {
        1: "1 (768 bit)",
        2: "2 (1024 bit)",
        5: "5 (1536 bit)",
        14: "14 (2048 bit)",
        15: "15 (3072 bit)",
        16: "16 (4096 bit)",
        17: "17 (6144 bit)",
        18: "18 (8192 bit)",
        19: "19 (nist ecp256)",
        20: "20 (nist ecp384)",
        21: "21 (nist ecp521)",
        31: "31 (Elliptic Curve 25519, 256 bit)",
    },
)


def pfsense(peer: PeerView) -> str:
    """Return the fields and values to enter."""
    remarks = Remarks("pfSense")
    if {peer.phase_two.encryption, peer.phase_two.authentication} & {"3DES", "MD5"}:
        remarks.add(
            "pfSense CE 2.7 and later do not support 3DES and MD5 in phase 2 (removed in FreeBSD"
            " 13): select another on both devices."
        )
    body = page("VPN, IPsec, Tunnels, Add P1", _phase_one(peer, remarks))
    for child in _children(peer):
        body += page("Show Phase 2 Entries, Add P2", _phase_two(peer, child, remarks))
    body += page(
        "Firewall, Rules, IPsec",
        (Field("Pass", f"from {network.cidr}") for network in peer.hosted),
    )
    first = head("#", peer, remarks, "Enter these values, save and apply the changes.")
    return "\n".join((*first, *body))


def _children(peer: PeerView) -> Iterator[PeerChild]:
    """Yield one phase 2 entry per pair of networks; pfSense combines them if split is off."""
    return (PeerChild((own,), (hosted,)) for own, hosted in peer.pairs)


def _phase_one(peer: PeerView, remarks: Remarks) -> Iterator[Field]:
    names, keylife = phase_one_names(peer, NAMES, remarks), peer.phase_one.keylife
    yield Field("Description", peer.name)
    yield Field("Key Exchange version", peer.version)
    yield Field("Internet Protocol", "IPv4")
    yield Field("Interface", f"the one that has {peer.address}")
    yield Field("Remote Gateway", peer.concentrator)
    yield Field("Authentication Method", "Mutual PSK")
    if not peer.ikev2:
        yield Field("Negotiation mode", "Main")
    yield Field("My identifier", f"IP address, {peer.address}")
    yield Field("Peer identifier", f"IP address, {peer.concentrator}")
    yield Field("Pre-Shared Key", KEY)
    yield Field("Encryption Algorithm", names.encryption)
    yield Field("Hash", names.authentication)
    yield Field("DH Group", names.group)
    yield Field("Life Time", f"{keylife}")
    yield Field("Rekey Time", f"{keylife - keylife // 10}")
    yield Field("Reauth Time", "0")
    yield Field("Child SA Start Action", _start_action(peer))
    yield Field("NAT Traversal", "Auto")
    if peer.ikev2:
        yield Field("MOBIKE", "Disable")
        yield Field("Split connections", "off" if peer.has_shared_child else "on")
    yield Field("Dead Peer Detection", "on" if peer.dpd else "off")
    if peer.dpd:
        yield Field("Delay", f"{peer.dpd}")
        yield Field("Max failures", "3")


def _start_action(peer: PeerView) -> str:
    if peer.must_initiate:
        return "Initiate at start (VTI or Tunnel Mode)"
    return "Initiate on demand (Tunnel mode only)"


def _phase_two(peer: PeerView, child: PeerChild, remarks: Remarks) -> Iterator[Field]:
    names, keylife = phase_two_names(peer, NAMES, remarks), peer.phase_two.keylife
    yield Field("Mode", "Tunnel IPv4")
    yield Field("Local Network", f"Network, {child.own[0].cidr}")
    yield Field("NAT/BINAT translation", "None")
    yield Field("Remote Network", f"Network, {child.hosted[0].cidr}")
    yield Field("Protocol", "ESP")
    yield Field("Encryption Algorithms", names.encryption)
    yield Field("Hash Algorithms", names.authentication or "none is needed")
    yield Field("PFS key group", names.group or "off")
    yield Field("Life Time", f"{keylife}")
    yield Field("Rekey Time", f"{keylife - keylife // 10}")
