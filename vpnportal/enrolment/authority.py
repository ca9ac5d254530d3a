"""Certificates of one installation (RFC 5280): its authority, the portal's, one for each gateway.

All keys are of the curve P-256. PostgreSQL takes the common name of a gateway's certificate for its
role. Python 3.13 accepts an authority only with keyUsage, and others only with the identifier of
the authority's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=90)
# The clock of a gateway may be behind that of the portal.
BACKDATED = timedelta(minutes=10)
# The part of its life after which a certificate is renewed.
RENEWED_AFTER = 2 / 3
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class NotAcceptable(Exception):
    """A certificate, a signing request or a signature that is refused. Its text is a sentence."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority of an installation, with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def load(cls, key: bytes, certificate: bytes) -> Authority:
        """Return the authority of two PEM texts. Raises ValueError if they are not a pair."""
        loaded = serialization.load_pem_private_key(key, None)
        (first, *_) = x509.load_pem_x509_certificates(certificate)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("The key of the authority must be one of an elliptic curve.")
        if loaded.public_key() != first.public_key():
            raise ValueError("The key of the authority is not that of its certificate.")
        return cls(loaded, first)

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        usage: x509.ObjectIdentifier,
        now: datetime,
        names: Sequence[str] = (),
        lifetime: timedelta = LIFETIME,
    ) -> x509.Certificate:
        """Return a new certificate for a key. `names` are DNS names and IP addresses.

        It ends before the authority does.
        """
        end = min(now + lifetime, self.certificate.not_valid_after_utc)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(identifier, critical=False)
        )
        if names:
            alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def check(self, certificate: x509.Certificate, now: datetime) -> None:
        """Raise NotAcceptable unless the authority issued a certificate, and it is valid now."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            raise NotAcceptable("The certificate is not one of this installation.") from None
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            end = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            raise NotAcceptable(f"The certificate ended at {end}.")


def make_authority(name: str, now: datetime) -> tuple[bytes, bytes]:
    """Return the PEM texts of a new authority's key and certificate. `name` is for people."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vpnportal of {name}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return pem_of_key(key), pem(certificate)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key for a certificate."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM (PKCS #8), without encryption."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def signing_request(key: ec.EllipticCurvePrivateKey, common_name: str) -> bytes:
    """Return a signing request for a key as PEM (PKCS #10)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requested_key(request: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of a signing request. Nothing else in the request counts.

    Raises NotAcceptable without the request's own signature, or for another kind of key.
    """
    try:
        loaded = x509.load_pem_x509_csr(request.encode())
        key, is_signed = loaded.public_key(), loaded.is_signature_valid
    except (ValueError, TypeError, InvalidSignature):
        raise NotAcceptable("csr must be a signing request in PEM.") from None
    if not is_signed:
        raise NotAcceptable("csr is not signed with its own key.")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise NotAcceptable("csr must have a key of the curve P-256.")
    return key


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return True once two thirds of a certificate's life are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begin + RENEWED_AFTER * (end - begin)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
