"""The customers' words for algorithms, strongSwan's words for them, and their strength: one table.

strongSwan's keywords: https://docs.strongswan.org/docs/5.9/config/proposals.html.
Strengths follow RFC 8247 (IKE) and RFC 8221 (ESP).
"""

from __future__ import annotations

from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS


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
