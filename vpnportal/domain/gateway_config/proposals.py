"""Proposals in strongSwan's keywords.

Keywords: https://docs.strongswan.org/docs/5.9/config/proposals.html.
"""

from __future__ import annotations

from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS


def ike_proposal(encryption: str, authentication: str, group: int) -> str:
    """Return the IKE proposal, such as `aes256-sha256-modp1536`; with an AEAD, it names the PRF."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    hash_keyword = f"prf{digest.keyword}" if cipher.aead else digest.keyword
    return "-".join((cipher.keyword, hash_keyword, GROUPS[group].keyword))


def esp_proposal(encryption: str, authentication: str, group: int) -> str:
    """Return the ESP proposal, without a group for group 0 and without integrity for an AEAD."""
    cipher, digest = ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication]
    keywords = (cipher.keyword, "" if cipher.aead else digest.keyword, GROUPS[group].keyword)
    return "-".join(keyword for keyword in keywords if keyword)
