"""Names in charon: a connection is named by its tunnel, a child by its settings.

`ctx42-3f9a1c0b-27aa01d4` is a child of tunnel 42. The first fingerprint covers the settings of IKE
(peers, identities, proposal, key life, preshared key), the second the settings of the child. Both
are HMAC-SHA256 values under a secret key, because the first covers the preshared key. A rotation
of the preshared key leaves the names as they are: the *lineage* of a tunnel has the fingerprint of
its settings, and the one in its names.
"""

from __future__ import annotations

import hmac
import json
import re

_CONNECTION = re.compile(r"ctx[1-9][0-9]*")
_CHILD = re.compile(r"(ctx[1-9][0-9]*)-([0-9a-f]{8})-[0-9a-f]{8}")
_SECRET = re.compile(r"(ctx[1-9][0-9]*)-[0-9a-f]{8}")
_LINEAGE = re.compile(r"([0-9a-f]{8}):([0-9a-f]{8})")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_PROBE = re.compile(r"ask-[1-9][0-9]*")


def fingerprint(key: bytes, content: object) -> str:
    """Return eight hexadecimal digits of the HMAC-SHA256 of `content`, as JSON, under `key`."""
    return hmac.digest(key, _canonical(content).encode(), "sha256").hex()[:8]


def lineage(actual: str, name: str) -> str:
    """Return the lineage by which names carry `name` in place of `actual`, the IKE fingerprint."""
    return f"{actual}:{name}"


def fingerprint_in_names(actual: str, lineage: str) -> str:
    """Return the IKE fingerprint in the names of the children of a tunnel with this lineage.

    Other IKE settings and another key have another fingerprint, so they end a lineage.
    """
    match = _LINEAGE.fullmatch(lineage)
    return match[2] if match and match[1] == actual else actual


def is_portal_connection(connection: str) -> bool:
    """Return True if a connection of this name belongs to the portal."""
    return _CONNECTION.fullmatch(connection) is not None


def is_portal_secret(identifier: str) -> bool:
    """Return True if a secret with this id belongs to the portal."""
    return _SECRET.fullmatch(identifier) is not None


def probe_of(tunnel_id: int) -> str:
    """Return `ask-42` for 42: the name of the connection, child and secret of a peer probe."""
    return f"ask-{tunnel_id}"


def is_probe(name: str) -> bool:
    """Return True if a connection or secret belongs to a peer probe, which takes some seconds."""
    return _PROBE.fullmatch(name) is not None


def connection_of_secret(secret: str) -> str:
    """Return the connection name in the id of a secret: `ctx42` for `ctx42-3f9a1c0b`."""
    return secret.partition("-")[0]


def connection_of(tunnel_id: int) -> str:
    """Return the name of a tunnel's connection: `ctx42` for 42."""
    return f"ctx{tunnel_id}"


def tunnel_id(connection: str) -> int:
    """Return the tunnel id in the name of a connection: 42 for `ctx42`."""
    return int(connection.removeprefix("ctx"))


def ike_fingerprint_of(child: str) -> str:
    """Return the IKE fingerprint in a child's name, or "" if the portal did not give the name."""
    match = _CHILD.fullmatch(child)
    return match[2] if match else ""
