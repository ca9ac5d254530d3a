"""The messages between a gateway and the signer: their fields, and the limits of each."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

# A signing request and a certificate of P-256 have less than 1 KiB each.
MAX_BYTES = 16 << 10
NAME = re.compile(r"[a-z0-9-]{1,40}")
PEM = re.compile(r"-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]{1,4000}\n-----END [A-Z ]+-----\n?")
BASE64 = r"[A-Za-z0-9+/]{%s}%s"
VERIFIER = re.compile(
    rf"SCRAM-SHA-256\$4096:{BASE64 % (22, '==')}\${BASE64 % (43, '=')}:{BASE64 % (43, '=')}"
)
RENEWAL_PREFIX = b"vpnportal renewal of a certificate\n"

# The fields of each operation, with the form of each and a sentence for a person.
FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "name": (NAME, "name must have up to 40 lower-case letters, digits and -."),
    "token": (re.compile(r"[A-Za-z0-9_-]{20,100}"), "token must be that of the file."),
    "csr": (PEM, "csr must be a signing request in PEM."),
    "certificate": (PEM, "certificate must be one in PEM."),
    "verifier": (VERIFIER, "verifier must be a SCRAM-SHA-256 verifier with 4096 iterations."),
    "broker_digest": (re.compile(r"[0-9a-f]{64}"), "broker_digest must be a SHA-256 in hex."),
    "envelope_key": (re.compile(BASE64 % ("43", "=")), "envelope_key must be 32 bytes in base64."),
    "signature": (re.compile(r"[A-Za-z0-9+/=]{8,200}"), "signature must be in base64."),
}
JOIN = ("name", "token", "csr", "verifier", "broker_digest", "envelope_key")
RENEW = ("name", "csr", "certificate", "signature")
OF_NAME = ("name",)
OPERATIONS: dict[str, tuple[str, ...]] = {
    "join": JOIN,
    "renew": RENEW,
    "open": OF_NAME,
    "remove": OF_NAME,
    "list": (),
}
# A user of the portal's socket who is not root may ask for these only.
OF_GATEWAYS = ("join", "renew")


class BadMessage(Exception):
    """A message that is not understood. Its text is a sentence that says what is right."""


def read(message: bytes) -> tuple[str, dict[str, str]]:
    """Return the operation of a message and its fields. Raises BadMessage."""
    if len(message) > MAX_BYTES:
        raise BadMessage(f"A message has at most {MAX_BYTES} bytes.")
    try:
        values: Any = json.loads(message)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise BadMessage("A message is one JSON object.")
    operation = values.pop("operation", None)
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise BadMessage(f"operation must be one of {', '.join(OPERATIONS)}.")
    wanted = OPERATIONS[operation]
    if values.keys() != set(wanted):
        raise BadMessage(f"{operation} takes {', '.join(wanted) or 'no fields'}.")
    for field in wanted:
        form, sentence = FORMS[field]
        if not isinstance(values[field], str) or not form.fullmatch(values[field]):
            raise BadMessage(sentence)
    return operation, values


def signed_part(request: str) -> bytes:
    """Return the bytes of a renewal that a gateway signs: the new signing request."""
    return RENEWAL_PREFIX + request.encode()


def encoded(raw: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(raw).decode()
