"""The signer: it answers one message, and alone has the authority's key and the rights to give.

The web process passes messages of gateways on. Root, on the same machine, opens and removes.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vpnportal.deployment.broker_access import gateway_user
from vpnportal.enrolment import messages
from vpnportal.enrolment.authority import (
    CLIENT,
    LIFETIME,
    Authority,
    NotAcceptable,
    pem,
    requested_key,
)
from vpnportal.enrolment.registry import Record, Registry

log = logging.getLogger(__name__)

OK, BAD, REFUSED, AWAY = 200, 400, 403, 503
ADD_AGAIN = "On the portal, run `vpnportal gateway add {}` for a new file."
Answer = dict[str, Any]


class CannotGive(Exception):
    """A database or broker that did not do what the signer asked. Its text is a sentence."""


class GatewayAccess(Protocol):
    """The rights of gateways in database and broker. Both methods raise CannotGive."""

    def give(self, name: str, verifier: str, broker_digest: str) -> None:
        """Let a gateway sign in with new passwords, and end the sessions of the earlier ones."""

    def end(self, name: str) -> None:
        """End the rights of a gateway and its sessions, at once. Repeating it does no harm."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The operations of `messages.OPERATIONS`.

    `fingerprint_key` returns the key of a concentrator's names of CHILD_SAs. `addresses` are the
    URLs of database and broker for gateways, without user and password.
    """

    authority: Authority
    registry: Registry
    access: GatewayAccess
    fingerprint_key: Callable[[str], bytes]
    addresses: dict[str, str]
    lifetime: timedelta = LIFETIME
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def answer(self, message: bytes, *, is_root: bool) -> Answer:
        """Return the answer to a message: `status` as in HTTP, and `error` or the other fields."""
        try:
            operation, values = messages.read(message)
            if operation not in messages.OF_GATEWAYS and not is_root:
                return _error(REFUSED, f"Only root may ask for {operation}.")
            answer: Answer = getattr(self, f"_{operation}")(**values)
        except messages.BadMessage as error:
            return _error(BAD, str(error))
        except NotAcceptable as error:
            log.warning("Refused: %s", error)
            return _error(REFUSED, str(error))
        except CannotGive as error:
            log.error("%s", error)
            return _error(AWAY, str(error))
        return {"status": OK, **answer}

    def _open(self, name: str) -> Answer:
        record = self.registry.get(name) or Record(name)
        token = record.open(self.clock())
        self.registry.save(record)
        log.info("A token for %s is open for an hour.", name)
        return {
            "token": token,
            "until": record.token_until,
            "authority": pem(self.authority.certificate).decode(),
            "has_joined": bool(record.serials),
        }

    def _join(
        self, name: str, token: str, csr: str, verifier: str, broker_digest: str, envelope_key: str
    ) -> Answer:
        record = self.registry.get(name)
        # A name without a record takes the same path, so that the answer does not tell it.
        if not (record or Record(name)).accepts(token, self.clock()) or record is None:
            advice = ADD_AGAIN.format(name)
            raise NotAcceptable(f"The token for {name} is wrong, used, or over. {advice}")
        certificate = self._issue(name, csr)
        self.access.give(name, verifier, broker_digest)
        record.close()
        record.serials = []
        self._note(record, certificate)
        return {
            "certificate": pem(certificate).decode(),
            "certificate_until": record.certificate_until,
            "fingerprint_key": messages.encoded(self.fingerprint_key(name)),
            **self.addresses,
        }

    def _renew(self, name: str, csr: str, certificate: str, signature: str) -> Answer:
        current = _load(certificate)
        record = self._record_of(name, current)
        _check_signature(current, csr, signature)
        serial = _serial(current)
        issued = self._issue(name, csr)
        record.serials = [serial]
        self._note(record, issued)
        until = record.certificate_until
        return {"certificate": pem(issued).decode(), "certificate_until": until}

    def _remove(self, name: str) -> Answer:
        # First what is refused here, then what may be away.
        was_there = self.registry.remove(name)
        self.access.end(name)
        log.info("%s is removed.", name)
        return {"was_there": was_there}

    def _list(self) -> Answer:
        now = self.clock().timestamp()
        return {
            "gateways": [
                {
                    "name": record.name,
                    "has_joined": bool(record.serials),
                    "certificate_until": record.certificate_until,
                    "token_until": record.token_until if record.token_until > now else 0,
                }
                for record in self.registry.all()
            ]
        }

    def _issue(self, name: str, csr: str) -> x509.Certificate:
        key = requested_key(csr)
        return self.authority.issue(
            key, gateway_user(name), CLIENT, self.clock(), lifetime=self.lifetime
        )

    def _note(self, record: Record, certificate: x509.Certificate) -> None:
        record.serials = [_serial(certificate), *record.serials]
        record.certificate_until = certificate.not_valid_after_utc.timestamp()
        self.registry.save(record)
        log.info("%s has the certificate %s.", record.name, record.serials[0])

    def _record_of(self, name: str, current: x509.Certificate) -> Record:
        """Return the record of a gateway. Raises NotAcceptable unless it has a certificate now."""
        record = self.registry.get(name)
        try:
            self.authority.check(current, self.clock())
        except NotAcceptable as error:
            raise NotAcceptable(f"{error} {ADD_AGAIN.format(name)}") from None
        if record is None or _common_name(current) != gateway_user(name):
            advice = ADD_AGAIN.format(name)
            raise NotAcceptable(f"The certificate is not that of a gateway {name}. {advice}")
        if _serial(current) not in record.serials:
            advice = ADD_AGAIN.format(name)
            raise NotAcceptable(f"The certificate of {name} was replaced by another one. {advice}")
        return record


def _load(certificate: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise messages.BadMessage("certificate must be one in PEM.") from None


def _check_signature(current: x509.Certificate, csr: str, signature: str) -> None:
    key = current.public_key()
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, messages.signed_part(csr), ec.ECDSA(hashes.SHA256()))
            return
    except (ValueError, InvalidSignature):
        pass
    raise NotAcceptable("signature is not that of the certificate's key over csr.")


def _common_name(certificate: x509.Certificate) -> str:
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if len(attributes) == 1 else ""


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _error(status: int, text: str) -> Answer:
    return {"status": status, "error": text}
