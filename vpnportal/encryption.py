"""Encryption of secrets at rest: AES-256-GCM (NIST SP 800-38D), bound to the row of the secret.

The key file has one base64 key of 32 bytes per line. The first key encrypts, all keys decrypt: a
new first line rotates the key. Without the file, all preshared keys are lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NONCE_BYTES = 12
KEY_BYTES = 32


class CannotOpen(Exception):
    """A decryption failure: the token was changed, its row differs, or its key is missing."""


def new_key() -> str:
    """Return a random key as a line for a key file."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def seal(text: str, context: str) -> str:
    """Return `text` encrypted for the row that `context` names. The nonce is random."""
    name, key = next(iter(_keys(settings.SEAL_KEY_FILE).items()))
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(key).encrypt(nonce, text.encode(), context.encode())
    return f"{name}:{base64.b64encode(nonce + box).decode()}"


def unseal(token: str, context: str) -> str:
    """Return the decrypted text of a token from `seal`.

    Raises CannotOpen if the token or `context` differs, or the key is not in the key file.
    """
    _, _, body = token.partition(":")
    try:
        key = _keys(settings.SEAL_KEY_FILE)[key_id(token)]
        raw = base64.b64decode(body, validate=True)
        box = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
    except (KeyError, ValueError, InvalidTag):
        raise CannotOpen(f"The sealed text of {context} cannot be opened.") from None
    return box.decode()


def key_id(token: str) -> str:
    """Return the id of the key that sealed a token, which tells nothing about the key."""
    return token.partition(":")[0]


def key_ids(file: Path) -> tuple[str, ...]:
    """Return the ids of the keys in a file, in the order of its lines.

    Raises ImproperlyConfigured without the file, or if a line is no key.
    """
    return tuple(_keys(file))


def fingerprint_key() -> bytes:
    """Return the secret key of draft digests, from which those of fingerprints are derived.

    The key must never change.
    """
    return next(iter(_keys(settings.FINGERPRINT_KEY_FILE).values()))


def concentrator_key(name: str) -> bytes:
    """Return the secret key of the fingerprints in the names of a concentrator's CHILD_SAs.

    Another name of the concentrator renegotiates its tunnels.
    """
    return _derived_key(fingerprint_key(), name)


@lru_cache
def _derived_key(key: bytes, name: str) -> bytes:
    return hmac.digest(key, name.encode(), "sha256")


@lru_cache
def _keys(file: Path) -> dict[str, bytes]:
    if not file.exists():
        raise ImproperlyConfigured(f"There is no key file {file}: run `manage.py keys` once.")
    try:
        keys = [base64.b64decode(line) for line in file.read_text().split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ImproperlyConfigured(f"{file} needs a base64 key of {KEY_BYTES} bytes on each line.")
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}
