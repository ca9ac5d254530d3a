"""Names in charon: a connection is named after its tunnel, a child after its content.

`ctx42-3f9a1c0b-27aa01d4` is a child of tunnel 42. The first fingerprint covers all that matters to
IKE (peers, identities, proposal, key life, preshared key), the second all that matters to the
child. Both are keyed (HMAC-SHA256), because the first covers the preshared key.
"""

from __future__ import annotations

import hmac
import json
import re

_CONNECTION = re.compile(r"ctx[1-9][0-9]*")
_CHILD = re.compile(r"(ctx[1-9][0-9]*)-([0-9a-f]{8})-[0-9a-f]{8}")
_SECRET = re.compile(r"(ctx[1-9][0-9]*)-[0-9a-f]{8}")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_PROBE = re.compile(r"ask-[1-9][0-9]*")


def fingerprint(key: bytes, content: object) -> str:
    """Eight hexadecimal digits for JSON-able content; equal for equal content and key only."""
    return hmac.digest(key, _canonical(content).encode(), "sha256").hex()[:8]


def is_portal_connection(connection: str) -> bool:
    """Whether a connection's name is one that the portal gives."""
    return _CONNECTION.fullmatch(connection) is not None


def is_portal_secret(identifier: str) -> bool:
    """Whether a secret's id is one that the portal gives."""
    return _SECRET.fullmatch(identifier) is not None


def probe_of(tunnel_id: int) -> str:
    """`ask-42` of 42: the connection, the child and the secret of a question to its peer."""
    return f"ask-{tunnel_id}"


def is_probe(name: str) -> bool:
    """Whether a connection or a secret is there to ask a peer, for some seconds at most."""
    return _PROBE.fullmatch(name) is not None


def connection_of_secret(secret: str) -> str:
    """The connection that a secret's id belongs to."""
    return secret.partition("-")[0]


def connection_of(tunnel_id: int) -> str:
    """`ctx42` of 42."""
    return f"ctx{tunnel_id}"


def tunnel_id(connection: str) -> int:
    """42 of `ctx42`."""
    return int(connection.removeprefix("ctx"))


def ike_fingerprint_of(child: str) -> str:
    """The part of a child's name that covers IKE, or "" for a name that is not ours."""
    match = _CHILD.fullmatch(child)
    return match[2] if match else ""
