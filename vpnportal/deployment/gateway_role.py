"""The role of a gateway in PostgreSQL: its group, and the verifier of its password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

# The role that has the rights of `gateway_rights`, and all gateways as members.
GROUP = "vpnportal-gateways"
# PostgreSQL's own (src/include/common/scram-common.h).
SCRAM_ITERATIONS, SALT_BYTES = 4096, 16


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return the verifier of an ASCII password that PostgreSQL stores (SCRAM-SHA-256, RFC 5803)."""
    salt = salt or os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *parts)
