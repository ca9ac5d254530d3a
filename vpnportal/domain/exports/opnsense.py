"""OPNsense: what to choose and enter in the pages of VPN, IPsec, Connections.

The fields are those of OPNsense's own model (src/opnsense/mvc/app/models/OPNsense/IPsec/Swanctl.xml
of opnsense/core), and the proposals those that it offers (FieldTypes/IPsecProposalField.php): a
fixed list, without DES, 3DES and MD5, and with SHA1 and the small groups in a few of them only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from vpnportal.domain.exports.algorithm_names import Words, joined, phase_one, phase_two
from vpnportal.domain.exports.form_values import Field, page
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerView
from vpnportal.domain.exports.safe_text import KEY, NOT_AVAILABLE, Remarks
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

WORDS = Words(
    {one.name: one.keyword for one in ENCRYPTIONS.values()},
    {one.name: one.keyword for one in AUTHENTICATIONS.values()},
    {**{n: one.keyword for n, one in GROUPS.items() if n}, 31: "x25519"},
)
_BLOCK = [one.keyword for one in ENCRYPTIONS.values() if one.keyword.startswith("aes")]
_LARGE = [word for number, word in WORDS.group.items() if number >= 14]
_SHA2 = ("sha256", "sha384", "sha512")
_EXCEPTIONS = {
    "aes256-sha1-modp2048",
    "aes128-sha1-modp2048",
    "aes256-sha1-modp4096",
    "aes256-sha1-ecp521",
    "aes256-sha512-modp1024",
}
IKE = {"-".join(words) for words in product(_BLOCK, _SHA2, _LARGE)} | _EXCEPTIONS
ESP = (
    {one for one in IKE if "gcm" not in one}
    | {"-".join(words) for words in product((word for word in _BLOCK if "gcm" in word), _LARGE)}
    | {"aes256-sha256"}
)


def opnsense(end: PeerView) -> str:
    """A list of fields and values for a person to enter."""
    remarks = Remarks("OPNsense")
    body = page("VPN, IPsec, Pre-Shared Keys, Add", _key(end))
    body += page("VPN, IPsec, Connections, Add", _connection(end, remarks))
    body += page("Local Authentication, Add", _authentication(end.address))
    body += page("Remote Authentication, Add", _authentication(end.concentrator))
    for child in end.children:
        body += page("Children, Add", _child(end, child, remarks))
    body += page(
        "Firewall, Rules, IPsec", (Field("Pass", f"from {one.cidr}") for one in end.hosted)
    )
    first = head("#", end, remarks, "Switch on advanced mode, enter these values, save, and apply.")
    return "\n".join((*first, *body))


def _key(end: PeerView) -> Iterator[Field]:
    yield Field("Local Identifier", end.address)
    yield Field("Remote Identifier", end.concentrator)
    yield Field("Pre-Shared Key", KEY)
    yield Field("Type", "PSK")


def _connection(end: PeerView, remarks: Remarks) -> Iterator[Field]:
    keylife = end.phase_one.keylife
    proposal = joined(phase_one(end, WORDS, remarks))
    yield Field("Proposals", _offered(proposal, IKE, "phase one", remarks))
    yield Field("Unique", "Replace")
    yield Field("Version", "IKEv1+IKEv2" if end.either_version else end.version)
    yield Field("MOBIKE", "off")
    yield Field("Local addresses", end.address)
    yield Field("Remote addresses", end.concentrator)
    yield Field("Re-auth time (s)", "0")
    yield Field("Rekey time (s)", f"{keylife - keylife // 10}")
    yield Field("Over time (s)", f"{keylife // 10}")
    yield Field("DPD delay (s)", f"{end.dpd}")
    yield Field("DPD timeout (s)", f"{3 * end.dpd}")
    yield Field("Description", end.name)


def _authentication(address: str) -> Iterator[Field]:
    yield Field("Authentication", "Pre-Shared Key")
    yield Field("Id", address)


def _child(end: PeerView, child: PeerChild, remarks: Remarks) -> Iterator[Field]:
    keylife = end.phase_two.keylife
    proposal = joined(phase_two(end, WORDS, remarks))
    yield Field("Start action", "Start" if end.must_start else "Trap")
    yield Field("DPD action", "Start" if end.must_start else "Trap")
    yield Field("Mode", "Tunnel")
    yield Field("Policies", "on")
    yield Field("ESP proposals", _offered(proposal, ESP, "phase two", remarks))
    yield Field("Local", ", ".join(one.cidr for one in child.own))
    yield Field("Remote", ", ".join(one.cidr for one in child.hosted))
    yield Field("Rekey time (s)", f"{keylife - keylife // 10}")


def _offered(proposal: str, offered: set[str], phase: str, remarks: Remarks) -> str:
    if proposal in offered:
        return proposal
    if NOT_AVAILABLE not in proposal:
        remarks.add(f"OPNsense does not offer {proposal} for {phase}: both ends need another one.")
    return NOT_AVAILABLE
