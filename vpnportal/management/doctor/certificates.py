"""Checks of the TLS certificates of broker and database, as a client of this machine sees them."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings
from django.db import connection

from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import unknown

# A certificate of 90 days is renewed 30 days before its end. One of days is renewed later.
EXPIRES_SOON, PART_LEFT = timedelta(days=21), 1 / 4
CONNECT_SECONDS = 3.0
BROKER_PORT, POSTGRES_PORT = 6379, 5432
# The request for TLS of PostgreSQL's protocol, and the answer "yes".
SSL_REQUEST, SSL_ACCEPTED = struct.pack("!ii", 8, 80877103), b"S"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ISSUE = "Issue it again on the portal: `vpnportal certificates renew --force`."
# A new cluster of PostgreSQL begins with Debian's own certificate.
SHOW_OURS = (
    f"{ISSUE} If it is another certificate, `vpnportal setup --no-input` writes the settings."
)
# Python 3.13 checks certificates as strictly as RFC 5280, so clients on Debian 13 do.
STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


@dataclass(frozen=True, slots=True)
class Service:
    """A TLS server; `hostname` is "" if no client of this machine has a name to compare."""

    name: str
    address: tuple[str, int]
    hostname: str
    authority: str
    is_postgres: bool = False


def broker_certificate() -> Iterator[Finding]:
    """Check the certificate of the broker."""
    name, parts = "certificates/broker", urlsplit(settings.CELERY_BROKER_URL)
    if "socket" in parts.scheme:
        yield met(name, "The broker is a Unix socket, which needs no certificate.")
    elif parts.scheme != "rediss":
        yield unmet(
            name,
            f"The broker {parts.hostname} is used without TLS: passwords cross the network.",
            "Let VPNPORTAL_BROKER begin with rediss://, and set VPNPORTAL_BROKER_CA.",
        )
    else:
        host = parts.hostname or ""
        yield from check(Service(name, (host, parts.port or BROKER_PORT), host, broker_authority()))


def database_certificate() -> Iterator[Finding]:
    """Check the certificate of PostgreSQL.

    Behind a Unix socket it is the certificate that gateways see, if the server has TLS.
    """
    name, database = "certificates/database", settings.DATABASES["default"]
    if connection.vendor != "postgresql":
        yield met(name, "SQLite needs no certificate.")
        return
    options: dict[str, Any] = database.get("OPTIONS", {})
    host = str(database.get("HOST") or options.get("host") or "")
    authority = str(options.get("sslrootcert") or broker_authority())
    if not host or host.startswith("/"):
        yield from _behind_socket(name, authority)
        return
    mode = str(options.get("sslmode", "prefer"))
    if mode != "verify-full" and host not in LOOPBACK:
        yield unmet(
            name,
            f"sslmode is {mode}: another machine could be taken for the database {host}.",
            "Add sslmode=verify-full and sslrootcert to VPNPORTAL_DATABASE_URL.",
        )
        return
    port = int(database.get("PORT") or POSTGRES_PORT)
    yield from check(Service(name, (host, port), host, authority, is_postgres=True))


def _behind_socket(name: str, authority: str) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('ssl'), current_setting('listen_addresses'),"
            " current_setting('port')"
        )
        has_tls, addresses, port = cursor.fetchone()
    if not addresses:
        yield met(name, "PostgreSQL has a Unix socket only, which needs no certificate.")
    elif has_tls != "on":
        yield at_risk(
            name,
            f"PostgreSQL listens on {addresses} without TLS.",
            "Run `vpnportal setup` on the portal, or set listen_addresses = ''.",
        )
    else:
        first = str(addresses).split(",")[0].strip()
        address = "127.0.0.1" if first in ("*", "0.0.0.0") else first  # noqa: S104
        # The portal has one certificate, for the name that gateways use.
        parts = urlsplit(settings.CELERY_BROKER_URL)
        hostname = parts.hostname or "" if parts.scheme == "rediss" else ""
        yield from check(Service(name, (address, int(port)), hostname, authority, True))


def broker_authority() -> str:
    """Return the file with the authority of the installation, or ""."""
    tls: dict[str, Any] = getattr(settings, "CELERY_BROKER_USE_SSL", None) or {}
    return str(tls.get("ssl_ca_certs") or "")


def check(service: Service) -> Iterator[Finding]:
    """Check authority, dates, usages and name of a server's certificate, as a client does."""
    try:
        authorities = _authorities(service)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM file"
        yield unmet(
            service.name,
            f"The certificate authority {service.authority} cannot be read: {reason}.",
            "Copy ca.pem of the portal to that place, with the mode 644.",
        )
        return
    try:
        certificate = read_certificate(service)
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        yield unknown(service.name, f"{service.address[0]} shows no certificate ({reason}).")
        return
    # A bundle has many others, which end for reasons of their own.
    if len(authorities) == 1:
        yield from dates(f"{service.name} authority", authorities[0])
    problems = [*dates(service.name, certificate), *_usages(service, certificate)]
    yield from problems
    if chain := _chain(service, certificate):
        # A certificate that is over, or for another use, has been reported.
        if not any(problem.requirement == chain.requirement for problem in problems):
            yield chain
    elif not problems:
        days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
        yield met(service.name, f"The certificate is valid for {days} days, and its chain is good.")


def _authorities(service: Service) -> list[x509.Certificate]:
    if not service.authority:
        return []
    return x509.load_pem_x509_certificates(Path(service.authority).read_bytes())


def dates(name: str, certificate: x509.Certificate, issue: str = ISSUE) -> Iterator[Finding]:
    """Yield a finding if a certificate is not valid now, or ends soon."""
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    if certificate.not_valid_before_utc > now:
        text = f"It is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only."
        yield unmet(name, text, "Correct the clock of this machine, or " + _lower(issue))
    if end <= now:
        yield unmet(name, f"It ended on {end:%Y-%m-%d %H:%M} UTC.", issue)
    elif end - now < min(EXPIRES_SOON, PART_LEFT * (end - certificate.not_valid_before_utc)):
        text = f"It ends in {(end - now).days} days, on {end:%Y-%m-%d}."
        yield at_risk(name, text, issue)


def _usages(service: Service, certificate: x509.Certificate) -> Iterator[Finding]:
    """Yield a finding for each usage extension that excludes a server. None excludes nothing."""
    extensions = certificate.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.digital_signature:
            text = "Its keyUsage lacks digitalSignature, which TLS 1.3 needs."
            yield unmet(service.name, text, ISSUE)
    except x509.ExtensionNotFound:
        pass
    try:
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {
            *extended
        }:
            yield unmet(service.name, "Its extendedKeyUsage lacks serverAuth.", ISSUE)
    except x509.ExtensionNotFound:
        pass


def _chain(service: Service, certificate: x509.Certificate) -> Finding | None:
    """Return the finding that a client refuses the certificate, or None."""
    if reason := _refusal(service, is_strict=False):
        text = f"A client refuses it: {reason}."
        if "mismatch" in reason.lower() or "not valid for" in reason.lower():
            text = f"It is not for the name {service.hostname}: {_names(certificate)}."
        return unmet(service.name, text, SHOW_OURS)
    # libpq checks less strictly than Python.
    if not service.is_postgres and (reason := _refusal(service, is_strict=True)):
        return at_risk(
            service.name,
            f"Python 3.13, so a gateway with Debian 13, refuses it: {reason}.",
            "The authority needs keyUsage=keyCertSign, and the certificate authorityKeyIdentifier; "
            "`vpnportal setup` makes both on a new portal.",
        )
    return None


def _refusal(service: Service, *, is_strict: bool) -> str:
    context = ssl.create_default_context(cafile=service.authority or None)
    context.check_hostname = bool(service.hostname)
    if is_strict:
        context.verify_flags |= STRICT
    else:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.CLIENT_TLS_FILE:
        context.load_cert_chain(settings.CLIENT_TLS_FILE)
    try:
        _handshake(service, context)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except OSError as error:
        return str(error)
    return ""


def read_certificate(service: Service) -> x509.Certificate:
    """Return the certificate of a server, whatever its quality."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.CLIENT_TLS_FILE:
        context.load_cert_chain(settings.CLIENT_TLS_FILE)
    return x509.load_der_x509_certificate(_handshake(service, context))


def _handshake(service: Service, context: ssl.SSLContext) -> bytes:
    with socket.create_connection(service.address, CONNECT_SECONDS) as plain:
        if service.is_postgres:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != SSL_ACCEPTED:
                raise OSError("PostgreSQL has no TLS.")
        with context.wrap_socket(plain, server_hostname=service.hostname or None) as wrapped:
            return wrapped.getpeercert(binary_form=True) or b""


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "it has no subjectAltName"
    return "it has " + ", ".join(str(name.value) for name in names)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
