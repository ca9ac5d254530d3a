"""Key files of a portal and of a gateway, as `manage.py keys` makes them: base64, a key a line."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES = 32


def first_key(file: Path) -> bytes:
    """Return the first key of a file. Raises ValueError without one."""
    lines = file.read_text().split()
    key = base64.b64decode(lines[0], validate=True) if lines else b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"{file} needs a base64 key of {KEY_BYTES} bytes on its first line.")
    return key


def derived_key(key: bytes, name: bytes) -> bytes:
    """Return the key that a secret key and a name determine (HMAC-SHA-256, RFC 2104).

    The key of a concentrator follows from fingerprint.key and the concentrator's name in this way.
    """
    return hmac.digest(key, name, "sha256")


def new_gateway_key() -> tuple[str, str]:
    """Return a line of `gateway.key`, an X25519 private key (RFC 7748), and its public key."""
    private = X25519PrivateKey.generate()
    raw = (private.private_bytes_raw(), private.public_key().public_bytes_raw())
    line, public = (base64.b64encode(each).decode() for each in raw)
    return line, public
