"""The customers' words for algorithms, strongSwan's words for them, and their strength: one table.

strongSwan's keywords: https://docs.strongswan.org/docs/5.9/config/proposals.html.
Strengths follow RFC 8247 (IKE) and RFC 8221 (ESP).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Strength(StrEnum):
    """How much an algorithm still protects, in the words the pages show."""

    BROKEN = "broken"
    WEAK = "weak"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Encryption:
    """`keyword` is strongSwan's; an `aead` needs no integrity algorithm beside it."""

    name: str
    keyword: str
    strength: Strength
    aead: bool = False


@dataclass(frozen=True, slots=True)
class Authentication:
    """A hash: HMAC integrity in both phases, and the PRF of phase one."""

    name: str
    keyword: str
    strength: Strength


@dataclass(frozen=True, slots=True)
class Group:
    """A Diffie-Hellman group by its IANA number; number 0 is the panel's "none"."""

    number: int
    keyword: str
    strength: Strength
    words: str


ENCRYPTIONS = {
    e.name: e
    for e in (
        Encryption("DES", "des", Strength.BROKEN),
        Encryption("3DES", "3des", Strength.WEAK),
        Encryption("AES128", "aes128", Strength.GOOD),
        Encryption("AES192", "aes192", Strength.GOOD),
        Encryption("AES256", "aes256", Strength.GOOD),
        Encryption("AES128-GCM", "aes128gcm16", Strength.GOOD, aead=True),
        Encryption("AES256-GCM", "aes256gcm16", Strength.GOOD, aead=True),
    )
}
AUTHENTICATIONS = {
    a.name: a
    for a in (
        Authentication("MD5", "md5", Strength.BROKEN),
        Authentication("SHA1", "sha1", Strength.WEAK),
        Authentication("SHA256", "sha256", Strength.GOOD),
        Authentication("SHA384", "sha384", Strength.GOOD),
        Authentication("SHA512", "sha512", Strength.GOOD),
    )
}
GROUPS = {
    g.number: g
    for g in (
        Group(0, "", Strength.BROKEN, "none"),
        Group(1, "modp768", Strength.BROKEN, "768-bit MODP"),
        Group(2, "modp1024", Strength.WEAK, "1024-bit MODP"),
        Group(5, "modp1536", Strength.WEAK, "1536-bit MODP"),
        Group(14, "modp2048", Strength.GOOD, "2048-bit MODP"),
        Group(15, "modp3072", Strength.GOOD, "3072-bit MODP"),
        Group(16, "modp4096", Strength.GOOD, "4096-bit MODP"),
        Group(17, "modp6144", Strength.GOOD, "6144-bit MODP"),
        Group(18, "modp8192", Strength.GOOD, "8192-bit MODP"),
        Group(19, "ecp256", Strength.GOOD, "256-bit elliptic curve"),
        Group(20, "ecp384", Strength.GOOD, "384-bit elliptic curve"),
        Group(21, "ecp521", Strength.GOOD, "521-bit elliptic curve"),
        Group(31, "curve25519", Strength.GOOD, "Curve25519"),
    )
}
KEYLIFE_SECONDS = range(120, 172_800 + 1)
IKE_VERSIONS = {1: "IKEv1", 2: "IKEv2"}


def ike_proposal(encryption: str, authentication: str, group: int) -> str:
    """Phase one for strongSwan, such as `aes256-sha256-modp1536`; an AEAD names the PRF instead."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    middle = f"prf{digest.keyword}" if cipher.aead else digest.keyword
    return "-".join((cipher.keyword, middle, GROUPS[group].keyword))


def esp_proposal(encryption: str, authentication: str, group: int) -> str:
    """Phase two for strongSwan; group 0 leaves PFS out, an AEAD the integrity keyword."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    parts = (cipher.keyword, "" if cipher.aead else digest.keyword, GROUPS[group].keyword)
    return "-".join(part for part in parts if part)
