"""Envelopes: a text that the portal opens, and the gateway of one concentrator.

The text is encrypted once, with a key of its own. That key is in the envelope twice: encrypted
with a key of the portal (AES-256-GCM, NIST SP 800-38D), and for the X25519 key of the gateway (RFC
7748), by a key pair of this envelope and HKDF-SHA256 (RFC 5869). The secret of the concentrator is
the salt of HKDF: who knows only the public key can make nothing that the gateway opens.

Both copies are bound to their reader, to the context of the row, and to the encrypted text. So who
opens one of them cannot put another text beside the other one.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = "2"
KEY_BYTES, NONCE_BYTES = 32, 12
# The nonce of a key that encrypts once.
ONCE = bytes(NONCE_BYTES)
LABEL = b"vpnportal envelope 2"
# A text with 65,000 translations has 13 million characters.
MAX_CHARACTERS = 64 << 20


class PortalKey(NamedTuple):
    """A key of the portal, 32 bytes, with its id."""

    id: str
    key: bytes


class GatewayKey(NamedTuple):
    """The public key of a gateway with its id, and the secret of its concentrator."""

    id: str
    public_key: X25519PublicKey
    secret: bytes


class Envelope(NamedTuple):
    """The parts of an envelope. Ids tell nothing about the keys."""

    portal_id: str
    for_portal: bytes
    gateway_id: str
    for_gateway: bytes
    body: bytes

    @classmethod
    def parse(cls, token: str) -> Envelope:
        """Return the envelope of a token. Raises ValueError for any other text."""
        version, portal_id, for_portal, gateway_id, for_gateway, body = limited(token).split(":")
        if version != VERSION:
            raise ValueError("another version")
        return cls(portal_id, _bytes(for_portal), gateway_id, _bytes(for_gateway), _bytes(body))

    @property
    def token(self) -> str:
        """The envelope as text."""
        parts = (
            VERSION,
            self.portal_id,
            _text(self.for_portal),
            self.gateway_id,
            _text(self.for_gateway),
            _text(self.body),
        )
        return ":".join(parts)

    @classmethod
    def seal(cls, text: str, context: str, portal: PortalKey, gateway: GatewayKey) -> Envelope:
        """Return a text, sealed for both readers and for the row that `context` names."""
        key = AESGCM.generate_key(256)
        body = AESGCM(key).encrypt(ONCE, text.encode(), context.encode())
        envelope = cls("", b"", "", b"", body)._for_portal(portal, key, context)
        return envelope._for(gateway, key, context)

    def for_other_portal_key(self, context: str, portal_key: bytes, new: PortalKey) -> Envelope:
        """Return the envelope with the same text for a new key of the portal, and not for this one.

        What its gateway opens stays. Raises InvalidTag as `open` does.
        """
        return self._for_portal(new, self._key_of_portal(context, portal_key), context)

    def for_other(self, context: str, portal_key: bytes, gateway: GatewayKey) -> Envelope:
        """Return the envelope with the same text for another gateway, and not for this one.

        Raises InvalidTag as `open` does.
        """
        return self._for(gateway, self._key_of_portal(context, portal_key), context)

    def open(self, context: str, portal_key: bytes) -> str:
        """Return the text, with a key of the portal. Raises InvalidTag if anything differs."""
        return self._decrypted(self._key_of_portal(context, portal_key), context)

    def open_at_gateway(self, context: str, private_key: X25519PrivateKey, secret: bytes) -> str:
        """Return the text, with the key of the gateway and the secret of its concentrator.

        Raises InvalidTag if anything differs, ValueError if the envelope is damaged.
        """
        sender, box = self.for_gateway[:KEY_BYTES], self.for_gateway[KEY_BYTES:]
        shared = private_key.exchange(X25519PublicKey.from_public_bytes(sender))
        public_key = private_key.public_key().public_bytes_raw()
        wrapping = AESGCM(_derived(shared, secret, sender + public_key))
        key = wrapping.decrypt(ONCE, box, _bound(self.gateway_id, context, self.body))
        return self._decrypted(key, context)

    def _for(self, gateway: GatewayKey, key: bytes, context: str) -> Envelope:
        sender = X25519PrivateKey.generate()
        sent = sender.public_key().public_bytes_raw()
        shared, public_key = sender.exchange(gateway.public_key), gateway.public_key
        wrapping = AESGCM(_derived(shared, gateway.secret, sent + public_key.public_bytes_raw()))
        box = wrapping.encrypt(ONCE, key, _bound(gateway.id, context, self.body))
        return self._replace(gateway_id=gateway.id, for_gateway=sent + box)

    def _for_portal(self, portal: PortalKey, key: bytes, context: str) -> Envelope:
        nonce = os.urandom(NONCE_BYTES)
        bound = _bound(portal.id, context, self.body)
        box = nonce + AESGCM(portal.key).encrypt(nonce, key, bound)
        return self._replace(portal_id=portal.id, for_portal=box)

    def _key_of_portal(self, context: str, portal_key: bytes) -> bytes:
        nonce, box = self.for_portal[:NONCE_BYTES], self.for_portal[NONCE_BYTES:]
        return AESGCM(portal_key).decrypt(nonce, box, _bound(self.portal_id, context, self.body))

    def _decrypted(self, key: bytes, context: str) -> str:
        return AESGCM(key).decrypt(ONCE, self.body, context.encode()).decode()


def limited(token: str) -> str:
    """Return a token. Raises ValueError if it is longer than that of any text."""
    if len(token) > MAX_CHARACTERS:
        raise ValueError("too long")
    return token


def is_envelope(token: str) -> bool:
    """Return True if a token is an envelope, and not sealed with the portal's key alone."""
    return token.startswith(f"{VERSION}:")


def _derived(shared: bytes, secret: bytes, public_keys: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, secret, LABEL + public_keys).derive(shared)


def _bound(reader: str, context: str, body: bytes) -> bytes:
    """Return what a copy of the key is bound to. Neither an id nor a context has a zero byte."""
    return b"\0".join((reader.encode(), context.encode(), hashlib.sha256(body).digest()))


def _text(part: bytes) -> str:
    return base64.b64encode(part).decode()


def _bytes(part: str) -> bytes:
    return base64.b64decode(part, validate=True)
