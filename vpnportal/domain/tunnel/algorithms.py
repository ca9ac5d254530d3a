"""Table of algorithms: names on the pages, strongSwan keywords, names in charon, strengths.

strongSwan keywords: https://docs.strongswan.org/docs/5.9/config/proposals.html.
Strengths follow RFC 8247 (IKE) and RFC 8221 (ESP).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple


class Strength(StrEnum):
    """Strength of an algorithm; the pages show the values."""

    BROKEN = "broken"
    WEAK = "weak"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Encryption:
    """A cipher; an `aead` needs no integrity algorithm.

    `keyword` is strongSwan's name in proposals. `charon_name` is charon's name in a running SA,
    with the key bits. `why` is the reason for a strength below good. `ikev1` is True if ESP can
    use the cipher with IKEv1.
    """

    name: str
    keyword: str
    strength: Strength
    charon_name: str
    aead: bool = False
    why: str = ""
    ikev1: bool = True


@dataclass(frozen=True, slots=True)
class Authentication:
    """A hash: HMAC integrity in both phases, and the PRF of phase one.

    `charon_name` is charon's name in a running SA for the integrity algorithm, `prf` for the PRF.
    `why` is the reason for a strength below good.
    """

    name: str
    keyword: str
    strength: Strength
    charon_name: str
    prf: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A Diffie-Hellman group with its IANA number; the number 0 means no group."""

    number: int
    keyword: str
    strength: Strength
    words: str
    charon_name: str = ""


class Suite(NamedTuple):
    """The algorithms of an SA in charon's names; "" if charon names none."""

    encryption: str = ""
    integrity: str = ""
    prf: str = ""
    group: str = ""

    def differs_from(self, wanted: Suite) -> bool:
        """Return True if an algorithm that charon names is not the wanted algorithm.

        The first CHILD_SA of IKEv2 has its keys from IKE and names no group (RFC 7296, 1.2).
        """
        return any(name and name != expected for name, expected in zip(self, wanted, strict=True))


UNNAMED = Suite()


ENCRYPTIONS = {
    e.name: e
    for e in (
        Encryption("DES", "des", Strength.BROKEN, "DES_CBC", why="56-bit key"),
        Encryption("3DES", "3des", Strength.WEAK, "3DES_CBC", why="64-bit blocks"),
        Encryption("AES128", "aes128", Strength.GOOD, "AES_CBC-128"),
        Encryption("AES192", "aes192", Strength.GOOD, "AES_CBC-192"),
        Encryption("AES256", "aes256", Strength.GOOD, "AES_CBC-256"),
        Encryption("AES128-GCM", "aes128gcm16", Strength.GOOD, "AES_GCM_16-128", aead=True),
        Encryption("AES192-GCM", "aes192gcm16", Strength.GOOD, "AES_GCM_16-192", aead=True),
        Encryption("AES256-GCM", "aes256gcm16", Strength.GOOD, "AES_GCM_16-256", aead=True),
        Encryption(
            "ChaCha20-Poly1305",
            "chacha20poly1305",
            Strength.GOOD,
            "CHACHA20_POLY1305",
            aead=True,
            ikev1=False,
        ),
    )
}


AUTHENTICATIONS = {
    a.name: a
    for a in (
        Authentication(
            "MD5", "md5", Strength.BROKEN, "HMAC_MD5_96", "PRF_HMAC_MD5", "128-bit hash"
        ),
        Authentication(
            "SHA1", "sha1", Strength.WEAK, "HMAC_SHA1_96", "PRF_HMAC_SHA1", "160-bit hash"
        ),
        Authentication("SHA256", "sha256", Strength.GOOD, "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256"),
        Authentication("SHA384", "sha384", Strength.GOOD, "HMAC_SHA2_384_192", "PRF_HMAC_SHA2_384"),
        Authentication("SHA512", "sha512", Strength.GOOD, "HMAC_SHA2_512_256", "PRF_HMAC_SHA2_512"),
    )
}


GROUPS = {
    g.number: g
    for g in (
        Group(0, "", Strength.BROKEN, "none"),
        Group(1, "modp768", Strength.BROKEN, "768-bit MODP", "MODP_768"),
        Group(2, "modp1024", Strength.WEAK, "1024-bit MODP", "MODP_1024"),
        Group(5, "modp1536", Strength.WEAK, "1536-bit MODP", "MODP_1536"),
        Group(14, "modp2048", Strength.GOOD, "2048-bit MODP", "MODP_2048"),
        Group(15, "modp3072", Strength.GOOD, "3072-bit MODP", "MODP_3072"),
        Group(16, "modp4096", Strength.GOOD, "4096-bit MODP", "MODP_4096"),
        Group(17, "modp6144", Strength.GOOD, "6144-bit MODP", "MODP_6144"),
        Group(18, "modp8192", Strength.GOOD, "8192-bit MODP", "MODP_8192"),
        Group(19, "ecp256", Strength.GOOD, "256-bit elliptic curve", "ECP_256"),
        Group(20, "ecp384", Strength.GOOD, "384-bit elliptic curve", "ECP_384"),
        Group(21, "ecp521", Strength.GOOD, "521-bit elliptic curve", "ECP_521"),
        Group(31, "curve25519", Strength.GOOD, "Curve25519", "CURVE_25519"),
    )
}


KEYLIFE_SECONDS = range(120, 172_800 + 1)


IKE_VERSIONS = {0: "IKEv1 and IKEv2", 1: "IKEv1", 2: "IKEv2"}


@cache
def ike_suite(encryption: str, authentication: str, group: int) -> Suite:
    """Return the suite of an IKE_SA with this phase one."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    integrity = "" if cipher.aead else digest.charon_name
    return Suite(cipher.charon_name, integrity, digest.prf, GROUPS[group].charon_name)


@cache
def esp_suite(encryption: str, authentication: str, group: int) -> Suite:
    """Return the suite of a CHILD_SA with this phase two; group 0 is no PFS."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    integrity = "" if cipher.aead else digest.charon_name
    return Suite(cipher.charon_name, integrity, "", GROUPS[group].charon_name)


def names_of(suite: Suite) -> tuple[str, str, int]:
    """Return the names of encryption and authentication on the pages, and the group number.

    A name is "" and the number is 0 for an algorithm that is absent or outside the table. With an
    AEAD, the authentication of phase one is the PRF.
    """
    digests = AUTHENTICATIONS.values()
    by_integrity = (a.name for a in digests if a.charon_name == suite.integrity)
    by_prf = (a.name for a in digests if a.prf == suite.prf)
    return (
        next((e.name for e in ENCRYPTIONS.values() if e.charon_name == suite.encryption), ""),
        next(by_integrity, "") or next(by_prf, ""),
        next((g.number for g in GROUPS.values() if g.number and g.charon_name == suite.group), 0),
    )


def suite_words(suite: Suite) -> str:
    """Return the algorithms of a running SA as text, such as "AES256, SHA256, group 5".

    An algorithm outside the table has charon's name. A CHILD_SA without a group has keys from IKE.
    """
    encryption, authentication, group = names_of(suite)
    digest = authentication or suite.integrity or suite.prf
    words = (encryption or suite.encryption, digest, f"group {group}" if group else suite.group)
    return ", ".join(word for word in words if word)
