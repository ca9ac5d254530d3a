"""pfSense: what to choose and enter in the pages of VPN, IPsec, Tunnels.

pfSense's own lists of choices are in its src/etc/inc/ipsec.inc ($p1_ealgos, $p1_halgos,
$p1_dhgroups, $p2_ealgos, $p2_halgos); the fields are those of its documentation, "IPsec
Configuration", phase 1 and phase 2 settings. FreeBSD removed 3DES and HMAC-MD5 from ESP in r360557
(FreeBSD 13), which pfSense CE 2.7 and later are built on.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import Words, phase_one, phase_two
from vpnportal.domain.exports.form_values import Field, page
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

WORDS = Words(
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


def pfsense(end: PeerView) -> str:
    """A list of fields and values for a person to enter."""
    remarks = Remarks("pfSense")
    if {end.phase_two.encryption, end.phase_two.authentication} & {"3DES", "MD5"}:
        remarks.add(
            "pfSense CE 2.7 and later have no 3DES and no MD5 in phase two (FreeBSD 13 dropped"
            " them): use something else at both ends."
        )
    body = page("VPN, IPsec, Tunnels, Add P1", _phase_one(end, remarks))
    for own_and_hosted in _children(end):
        body += page("Show Phase 2 Entries, Add P2", _phase_two(end, own_and_hosted, remarks))
    body += page(
        "Firewall, Rules, IPsec",
        (Field("Pass", f"from {one.cidr}") for one in end.hosted),
    )
    first = head("#", end, remarks, "Enter these values, save, and apply the changes.")
    return "\n".join((*first, *body))


def _children(end: PeerView) -> Iterator[PeerChild]:
    """A phase 2 entry has one network at each side; without split they share one child."""
    return (PeerChild((own,), (hosted,)) for own, hosted in end.pairs)


def _phase_one(end: PeerView, remarks: Remarks) -> Iterator[Field]:
    said, keylife = phase_one(end, WORDS, remarks), end.phase_one.keylife
    yield Field("Description", end.name)
    yield Field("Key Exchange version", end.version)
    yield Field("Internet Protocol", "IPv4")
    yield Field("Interface", f"the one that has {end.address}")
    yield Field("Remote Gateway", end.concentrator)
    yield Field("Authentication Method", "Mutual PSK")
    if not end.ikev2:
        yield Field("Negotiation mode", "Main")
    yield Field("My identifier", f"IP address, {end.address}")
    yield Field("Peer identifier", f"IP address, {end.concentrator}")
    yield Field("Pre-Shared Key", KEY)
    yield Field("Encryption Algorithm", said.encryption)
    yield Field("Hash", said.authentication)
    yield Field("DH Group", said.group)
    yield Field("Life Time", f"{keylife}")
    yield Field("Rekey Time", f"{keylife - keylife // 10}")
    yield Field("Reauth Time", "0")
    yield Field("Child SA Start Action", _start_action(end))
    yield Field("NAT Traversal", "Auto")
    if end.ikev2:
        yield Field("MOBIKE", "Disable")
        yield Field("Split connections", "off" if end.one_child else "on")
    yield Field("Dead Peer Detection", "on" if end.dpd else "off")
    if end.dpd:
        yield Field("Delay", f"{end.dpd}")
        yield Field("Max failures", "3")


def _start_action(end: PeerView) -> str:
    if end.must_start:
        return "Initiate at start (VTI or Tunnel Mode)"
    return "Initiate on demand (Tunnel mode only)"


def _phase_two(end: PeerView, child: PeerChild, remarks: Remarks) -> Iterator[Field]:
    said, keylife = phase_two(end, WORDS, remarks), end.phase_two.keylife
    yield Field("Mode", "Tunnel IPv4")
    yield Field("Local Network", f"Network, {child.own[0].cidr}")
    yield Field("NAT/BINAT translation", "None")
    yield Field("Remote Network", f"Network, {child.hosted[0].cidr}")
    yield Field("Protocol", "ESP")
    yield Field("Encryption Algorithms", said.encryption)
    yield Field("Hash Algorithms", said.authentication or "none is needed")
    yield Field("PFS key group", said.group or "off")
    yield Field("Life Time", f"{keylife}")
    yield Field("Rekey Time", f"{keylife - keylife // 10}")
