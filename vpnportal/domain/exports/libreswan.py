"""libreswan 4: a `conn` for ipsec.conf, and the line for ipsec.secrets in its comments.

ipsec.conf(5) and ipsec.secrets(5) of libreswan 4.10. What its builds know was asked of their own
`algparse`: groups 1 and 2 and single DES are compiled out, and PFS with IKEv1 has no elliptic
curves. ikelifetime is at most 24 hours, and so is salifetime (IPSEC_SA_LIFETIME_MAXIMUM).
"""

from __future__ import annotations

from dataclasses import replace

from vpnportal.domain.exports.algorithm_names import DeviceNames, Words, phase_one, phase_two
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
WORDS = Words(CIPHERS, HASHES, DH)
PFS_OF_IKEV1 = {number: word for number, word in DH.items() if word.startswith("modp")}
SECONDS = range(1, 86_400 + 1)


def libreswan(end: PeerView) -> str:
    """`ipsec038.conf` for /etc/ipsec.d."""
    remarks = Remarks("libreswan 4")
    if end.ikev2:
        pairs_remark(end, remarks)
    body = [f"conn {end.name}", *(f"    {key}={value}" for key, value in _conn(end, remarks))]
    first = head(
        "#",
        end,
        remarks,
        "A key with a double quote in it cannot be written down for libreswan.",
        f"Save this as /etc/ipsec.d/{end.name}.conf. The key belongs into another file, such as"
        f" /etc/ipsec.d/{end.name}.secrets, readable by root only, as the one line that follows,"
        " without its first sign. Then run: ipsec auto --rereadsecrets, and: ipsec auto --add"
        f" {end.name}",
    )
    # Not a sentence of ours: `comments` would take the quotes away.
    secret = f'# {end.address} {end.concentrator} : PSK "{KEY}"'
    return "\n".join((*first, secret, "#", *body, ""))


def _conn(end: PeerView, remarks: Remarks) -> list[tuple[str, str]]:
    one, two = end.phase_one, end.phase_two
    esp = WORDS if end.ikev2 else replace(WORDS, group=PFS_OF_IKEV1)
    dpd = [
        ("dpddelay", f"{end.dpd}s"),
        ("dpdtimeout", f"{3 * end.dpd}s"),
        ("dpdaction", "restart" if end.must_start else "hold"),
    ]
    return [
        ("type", "tunnel"),
        ("authby", "secret"),
        ("ikev2", "yes" if end.ikev2 else "no"),
        ("left", end.address),
        ("leftid", end.address),
        _networks("left", end.own),
        ("right", end.concentrator),
        ("rightid", end.concentrator),
        _networks("right", end.hosted),
        ("ike", _proposal(phase_one(end, WORDS, remarks))),
        ("phase2alg", _proposal(phase_two(end, esp, remarks))),
        ("pfs", "yes" if two.pfs else "no"),
        ("ikelifetime", f"{remarks.seconds(one.keylife, SECONDS, 'a key life in phase one')}s"),
        ("salifetime", f"{remarks.seconds(two.keylife, SECONDS, 'a key life in phase two')}s"),
        *(dpd if end.dpd else ()),
        ("auto", "start" if end.must_start else "ondemand"),
    ]


def _networks(side: str, networks: tuple[PeerSubnet, ...]) -> tuple[str, str]:
    """With several, libreswan makes a connection of each combination."""
    if len(networks) == 1:
        return f"{side}subnet", networks[0].cidr
    return f"{side}subnets", '"{' + " ".join(one.cidr for one in networks) + '}"'


def _proposal(said: DeviceNames) -> str:
    """`aes256-sha2_256;modp1536`: after a hyphen, a group would be taken for a hash of an AEAD."""
    ciphers = "-".join(word for word in said[:2] if word)
    return f"{ciphers};{said.group}" if said.group else ciphers
