"""libreswan 4: a `conn` for ipsec.conf, and the line for ipsec.secrets in its comments.

ipsec.conf(5) and ipsec.secrets(5) of libreswan 4.10. Its `algparse` shows the supported algorithms:
groups 1 and 2 and single DES are compiled out, and PFS with IKEv1 has no elliptic curves.
ikelifetime is at most 24 hours, and so is salifetime (IPSEC_SA_LIFETIME_MAXIMUM).
"""

from __future__ import annotations

from dataclasses import replace

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    DeviceNames,
    phase_one_names,
    phase_two_names,
)
from vpnportal.domain.exports.header import head, pairs_remark
from vpnportal.domain.exports.peer_view import PeerSubnet, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks

CIPHERS = {
    "3DES": "3des",
    "AES128": "aes128",
    "AES192": "aes192",
    "AES256": "aes256",
    "AES128-GCM": "aes_gcm128",
    "AES192-GCM": "aes_gcm192",
    "AES256-GCM": "aes_gcm256",
    "ChaCha20-Poly1305": "chacha20_poly1305",
}
HASHES = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA256": "sha2_256",
    "SHA384": "sha2_384",
    "SHA512": "sha2_512",
}
DH = {
    5: "modp1536",
    14: "modp2048",
    15: "modp3072",
    16: "modp4096",
    17: "modp6144",
    18: "modp8192",
    19: "dh19",
    20: "dh20",
    21: "dh21",
    31: "dh31",
}
NAMES = AlgorithmNames(CIPHERS, HASHES, DH)
IKEV1_PFS = {number: name for number, name in DH.items() if name.startswith("modp")}
SECONDS = range(1, 86_400 + 1)


def libreswan(peer: PeerView) -> str:
    """Return the text of a file such as `ipsec038.conf` in /etc/ipsec.d."""
    remarks = Remarks("libreswan 4")
    if peer.ikev2:
        pairs_remark(peer, remarks)
    body = [f"conn {peer.name}", *(f"    {key}={value}" for key, value in _conn(peer, remarks))]
    first = head(
        "#",
        peer,
        remarks,
        "libreswan does not support a preshared key that contains a double quote.",
        f"Save as /etc/ipsec.d/{peer.name}.conf. Save the next line without its comment sign as"
        f" /etc/ipsec.d/{peer.name}.secrets, readable by root only. Then run: ipsec auto"
        f" --rereadsecrets, and: ipsec auto --add {peer.name}",
    )
    # `comments` would remove the quotes.
    secret = f'# {peer.address} {peer.concentrator} : PSK "{KEY}"'
    return "\n".join((*first, secret, "#", *body, ""))


def _conn(peer: PeerView, remarks: Remarks) -> list[tuple[str, str]]:
    esp = NAMES if peer.ikev2 else replace(NAMES, group=IKEV1_PFS)
    ike_seconds = remarks.seconds(peer.phase_one.keylife, SECONDS, "a phase 1 key life")
    esp_seconds = remarks.seconds(peer.phase_two.keylife, SECONDS, "a phase 2 key life")
    dpd = [
        ("dpddelay", f"{peer.dpd}s"),
        ("dpdtimeout", f"{3 * peer.dpd}s"),
        ("dpdaction", "restart" if peer.must_initiate else "hold"),
    ]
    return [
        ("type", "tunnel"),
        ("authby", "secret"),
        ("ikev2", "yes" if peer.ikev2 else "no"),
        ("left", peer.address),
        ("leftid", peer.address),
        _networks("left", peer.own),
        ("right", peer.concentrator),
        ("rightid", peer.concentrator),
        _networks("right", peer.hosted),
        ("ike", _proposal(phase_one_names(peer, NAMES, remarks))),
        ("phase2alg", _proposal(phase_two_names(peer, esp, remarks))),
        ("pfs", "yes" if peer.phase_two.pfs else "no"),
        ("ikelifetime", f"{ike_seconds}s"),
        ("salifetime", f"{esp_seconds}s"),
        *(dpd if peer.dpd else ()),
        ("auto", "start" if peer.must_initiate else "ondemand"),
    ]


def _networks(side: str, networks: tuple[PeerSubnet, ...]) -> tuple[str, str]:
    """Return the name and value of the subnet setting of one side, "left" or "right".

    libreswan makes a connection for each combination of two lists.
    """
    if len(networks) == 1:
        return f"{side}subnet", networks[0].cidr
    return f"{side}subnets", '"{' + " ".join(network.cidr for network in networks) + '}"'


def _proposal(names: DeviceNames) -> str:
    """Return a proposal such as `aes256-sha2_256;modp1536`.

    libreswan would read a group after a hyphen as the hash of an AEAD.
    """
    ciphers = "-".join(name for name in names[:2] if name)
    return f"{ciphers};{names.group}" if names.group else ciphers
