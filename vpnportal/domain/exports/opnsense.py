"""OPNsense: values for the pages of VPN, IPsec, Connections.

The fields are those of OPNsense's own model (src/opnsense/mvc/app/models/OPNsense/IPsec/Swanctl.xml
of opnsense/core). The proposals are the fixed list of FieldTypes/IPsecProposalField.php, without
DES, 3DES and MD5. Only a few of its proposals have SHA1 or a small group.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    phase_one_names,
    phase_two_names,
    proposal_of,
)
from vpnportal.domain.exports.form_values import Field, page
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerView
from vpnportal.domain.exports.safe_text import KEY, NOT_AVAILABLE, Remarks
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

NAMES = AlgorithmNames(
    {cipher.name: cipher.keyword for cipher in ENCRYPTIONS.values()},
    {digest.name: digest.keyword for digest in AUTHENTICATIONS.values()},
    {**{number: group.keyword for number, group in GROUPS.items() if number}, 31: "x25519"},
)
_AES = [cipher.keyword for cipher in ENCRYPTIONS.values() if cipher.keyword.startswith("aes")]
_LARGE = [keyword for number, keyword in NAMES.group.items() if number >= 14]
_SHA2 = ("sha256", "sha384", "sha512")
_EXCEPTIONS = {
    "aes256-sha1-modp2048",
    "aes128-sha1-modp2048",
    "aes256-sha1-modp4096",
    "aes256-sha1-ecp521",
    "aes256-sha512-modp1024",
}
_GCM = [keyword for keyword in _AES if "gcm" in keyword]
IKE = {"-".join(parts) for parts in product(_AES, _SHA2, _LARGE)} | _EXCEPTIONS
ESP = (
    {proposal for proposal in IKE if "gcm" not in proposal}
    | {"-".join(parts) for parts in product(_GCM, _LARGE)}
    | {"aes256-sha256"}
)


def opnsense(peer: PeerView) -> str:
    """Return the fields and values to enter."""
    remarks = Remarks("OPNsense")
    body = page("VPN, IPsec, Pre-Shared Keys, Add", _key(peer))
    body += page("VPN, IPsec, Connections, Add", _connection(peer, remarks))
    body += page("Local Authentication, Add", _authentication(peer.address))
    body += page("Remote Authentication, Add", _authentication(peer.concentrator))
    for child in peer.children:
        body += page("Children, Add", _child(peer, child, remarks))
    body += page(
        "Firewall, Rules, IPsec", (Field("Pass", f"from {network.cidr}") for network in peer.hosted)
    )
    first = head("#", peer, remarks, "Enable advanced mode, enter these values, save and apply.")
    return "\n".join((*first, *body))


def _key(peer: PeerView) -> Iterator[Field]:
    yield Field("Local Identifier", peer.address)
    yield Field("Remote Identifier", peer.concentrator)
    yield Field("Pre-Shared Key", KEY)
    yield Field("Type", "PSK")


def _connection(peer: PeerView, remarks: Remarks) -> Iterator[Field]:
    keylife = peer.phase_one.keylife
    proposal = proposal_of(phase_one_names(peer, NAMES, remarks))
    yield Field("Proposals", _offered(proposal, IKE, "phase 1", remarks))
    yield Field("Unique", "Replace")
    yield Field("Version", "IKEv1+IKEv2" if peer.accepts_both_versions else peer.version)
    yield Field("MOBIKE", "off")
    yield Field("Local addresses", peer.address)
    yield Field("Remote addresses", peer.concentrator)
    yield Field("Re-auth time (s)", "0")
    yield Field("Rekey time (s)", f"{keylife - keylife // 10}")
    yield Field("Over time (s)", f"{keylife // 10}")
    yield Field("DPD delay (s)", f"{peer.dpd}")
    yield Field("DPD timeout (s)", f"{3 * peer.dpd}")
    yield Field("Description", peer.name)


def _authentication(address: str) -> Iterator[Field]:
    yield Field("Authentication", "Pre-Shared Key")
    yield Field("Id", address)


def _child(peer: PeerView, child: PeerChild, remarks: Remarks) -> Iterator[Field]:
    keylife = peer.phase_two.keylife
    proposal = proposal_of(phase_two_names(peer, NAMES, remarks))
    yield Field("Start action", "Start" if peer.must_initiate else "Trap")
    yield Field("DPD action", "Start" if peer.must_initiate else "Trap")
    yield Field("Mode", "Tunnel")
    yield Field("Policies", "on")
    yield Field("ESP proposals", _offered(proposal, ESP, "phase 2", remarks))
    yield Field("Local", ", ".join(network.cidr for network in child.own))
    yield Field("Remote", ", ".join(network.cidr for network in child.hosted))
    yield Field("Rekey time (s)", f"{keylife - keylife // 10}")


def _offered(proposal: str, offered: set[str], phase: str, remarks: Remarks) -> str:
    if proposal in offered:
        return proposal
    if NOT_AVAILABLE not in proposal:
        remarks.add(
            f"OPNsense does not offer {proposal} for {phase}: select another on both devices."
        )
    return NOT_AVAILABLE
