"""Encryption of secrets at rest, bound to the row of the secret.

A draft's key is sealed for the portal alone (AES-256-GCM, NIST SP 800-38D). What a gateway reads is
an envelope for both (`envelopes.py`), once its concentrator has the public key of the gateway.

A key file has one base64 key of 32 bytes per line. The first key encrypts, all keys decrypt: a new
first line rotates the key. Without `seal.key`, all preshared keys are lost.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from vpnportal.enrolment.key_files import derived_key
from vpnportal.envelopes import (
    KEY_BYTES,
    NONCE_BYTES,
    Envelope,
    GatewayKey,
    PortalKey,
    is_envelope,
    limited,
)

_derived_key = lru_cache(derived_key)
# The use of a concentrator's key in envelopes; the key itself is that of fingerprints.
ENVELOPES = b"vpnportal envelopes"
# The context of the secrets of second factors. Their rows have no number yet when they are sealed.
SECOND_FACTOR = "second factor"


class CannotOpen(Exception):
    """A decryption failure: the token was changed, its row differs, or its key is missing."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The gateway that opens an envelope: its concentrator's name, its public key in base64."""

    concentrator: str
    public_key: str


def new_key() -> str:
    """Return a random key as a line for a key file."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def public_key_of(line: str) -> str:
    """Return the public key of a line of `gateway.key`, 32 bytes in base64.

    Raises ValueError if the line is no base64 key of 32 bytes.
    """
    raw = base64.b64decode(line, validate=True)
    return _public_text(X25519PrivateKey.from_private_bytes(raw))


def check_public_key(text: str) -> None:
    """Raise ValueError, with a sentence, unless `text` is the public key of a gateway."""
    try:
        public_key = X25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        # RFC 7748, 6.1: a point of low order leads to a shared secret of zeros.
        X25519PrivateKey.generate().exchange(public_key)
    except ValueError:
        raise ValueError(
            "The public key of a gateway is 32 bytes in base64, 44 characters, as `vpnportal keys` "
            "prints it on the gateway."
        ) from None


def seal(text: str, context: str, reader: Reader | None = None) -> str:
    """Return `text` encrypted for the row that `context` names, and for the portal.

    With a reader the token is an envelope, which the reader opens, too. The nonce is random.
    """
    portal = _portal_key()
    if reader:
        return Envelope.seal(text, context, portal, _gateway_key(reader)).token
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(portal.key).encrypt(nonce, text.encode(), context.encode())
    return f"{portal.id}:{base64.b64encode(nonce + box).decode()}"


def unseal(token: str, context: str) -> str:
    """Return the decrypted text of a token from `seal`.

    Raises CannotOpen if the token or `context` differs, or the key is not in the key files.
    """
    try:
        if is_envelope(token):
            return _open(Envelope.parse(token), context)
        name, _, body = limited(token).partition(":")
        raw = base64.b64decode(body, validate=True)
        box = AESGCM(_portal_keys()[name])
        return box.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
    except (KeyError, ValueError, InvalidTag):
        raise CannotOpen(f"The sealed text of {context} cannot be opened.") from None


def seal_for_other(token: str, context: str, reader: Reader) -> str:
    """Return an envelope with the same text for another gateway. Needs the key of the portal.

    Raises CannotOpen as `unseal` does.
    """
    try:
        envelope = Envelope.parse(token)
        key = _portal_keys()[envelope.portal_id]
        return envelope.for_other(context, key, _gateway_key(reader)).token
    except (KeyError, ValueError, InvalidTag):
        raise CannotOpen(f"The sealed text of {context} cannot be opened.") from None


def seal_for_current_key(token: str, context: str) -> str:
    """Return the same text, sealed with the first key of the portal. Its gateway opens it, too.

    Raises CannotOpen as `unseal` does.
    """
    if not is_envelope(token):
        return seal(unseal(token, context), context)
    try:
        envelope = Envelope.parse(token)
        key = _portal_keys()[envelope.portal_id]
        return envelope.for_other_portal_key(context, key, _portal_key()).token
    except (KeyError, ValueError, InvalidTag):
        raise CannotOpen(f"The sealed text of {context} cannot be opened.") from None


def key_id(token: str) -> str:
    """Return the id of the portal's key that seals a token, which tells nothing about the key."""
    return token.split(":", 2)[1 if is_envelope(token) else 0]


def gateway_key_id(token: str) -> str:
    """Return the id of the gateway's key that opens an envelope; "" of a token for the portal."""
    parts = token.split(":", 4) if is_envelope(token) else []
    return parts[3] if len(parts) > 3 else ""


def id_of_public_key(public_key: str) -> str:
    """Return the id of a gateway's key, given by its public key."""
    return _id(base64.b64decode(public_key))


def key_ids(file: Path) -> tuple[str, ...]:
    """Return the ids of the keys in a file, in the order of its lines.

    Raises ImproperlyConfigured without the file, or if a line is no key.
    """
    return tuple(_keys(file))


def own_key_id() -> str:
    """Return the id of the current key of this gateway; "" without a key of its own."""
    return next(iter(_private_keys()), "") if has_keys(settings.GATEWAY_KEY_FILE) else ""


def gateway_public_keys() -> tuple[str, ...]:
    """Return the public keys of the lines of `gateway.key`, as `key_ids` does."""
    return tuple(map(_public_text, _private_keys().values()))


def has_keys(file: Path) -> bool:
    """Return True unless the file is missing, or an empty line, as units give it then."""
    try:
        return file.stat().st_size > 1
    except OSError:
        return False


def forget_keys() -> None:
    """Read the key files again when they are needed, because this process changed one."""
    _keys.cache_clear()


def fingerprint_key() -> bytes:
    """Return the secret key of draft digests, from which those of fingerprints are derived.

    The key must never change. A gateway does not have it.
    """
    return next(iter(_keys(settings.FINGERPRINT_KEY_FILE).values()))


def concentrator_key(name: str) -> bytes:
    """Return the secret key of the fingerprints in the names of a concentrator's CHILD_SAs.

    Another name of the concentrator renegotiates its tunnels. A gateway has the key of its own
    concentrator in a file.
    """
    if has_keys(settings.CONCENTRATOR_KEY_FILE):
        return next(iter(_keys(settings.CONCENTRATOR_KEY_FILE).values()))
    return _derived_key(fingerprint_key(), name.encode())


def _open(envelope: Envelope, context: str) -> str:
    private_keys = _private_keys() if has_keys(settings.GATEWAY_KEY_FILE) else {}
    if private_key := private_keys.get(envelope.gateway_id):
        secret = _derived_key(concentrator_key(settings.CONCENTRATOR), ENVELOPES)
        return envelope.open_at_gateway(context, private_key, secret)
    return envelope.open(context, _portal_keys()[envelope.portal_id])


def _gateway_key(reader: Reader) -> GatewayKey:
    secret = _derived_key(concentrator_key(reader.concentrator), ENVELOPES)
    raw = base64.b64decode(reader.public_key)
    return GatewayKey(_id(raw), X25519PublicKey.from_public_bytes(raw), secret)


def _portal_key() -> PortalKey:
    return PortalKey(*next(iter(_keys(settings.SEAL_KEY_FILE).items())))


def _portal_keys() -> dict[str, bytes]:
    """Return the keys of the portal by id, none on a gateway that has its own keys alone."""
    if has_keys(settings.SEAL_KEY_FILE) or not has_keys(settings.GATEWAY_KEY_FILE):
        return _keys(settings.SEAL_KEY_FILE)
    return {}


def _public_text(private_key: X25519PrivateKey) -> str:
    return base64.b64encode(private_key.public_key().public_bytes_raw()).decode()


def _id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _private_keys() -> dict[str, X25519PrivateKey]:
    """Return the keys of this gateway by the ids of their public keys."""
    return _parsed(tuple(_keys(settings.GATEWAY_KEY_FILE).values()))


@lru_cache
def _parsed(lines: tuple[bytes, ...]) -> dict[str, X25519PrivateKey]:
    keys = map(X25519PrivateKey.from_private_bytes, lines)
    return {_id(key.public_key().public_bytes_raw()): key for key in keys}


@lru_cache
def _keys(file: Path) -> dict[str, bytes]:
    if not has_keys(file):
        raise ImproperlyConfigured(f"There is no key file {file}: run `manage.py keys` once.")
    try:
        keys = [base64.b64decode(line) for line in file.read_text().split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ImproperlyConfigured(f"{file} needs a base64 key of {KEY_BYTES} bytes on each line.")
    return {_id(key): key for key in keys}
