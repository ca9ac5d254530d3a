"""`vpnportal certificates`: the certificates of this machine, and their renewal.

A timer runs `renew` each day, and it does nothing before two thirds of a certificate's life.
A file has a certificate with its key, so that both change at once.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vpnportal.enrolment import messages
from vpnportal.enrolment.authority import (
    AUTHORITY_LIFETIME,
    CLIENT,
    LIFETIME,
    SERVER,
    Authority,
    is_due,
    new_key,
    pem,
    pem_of_key,
    signing_request,
)
from vpnportal.enrolment.server import lifetime_of
from vpnportal.root_commands import files, programs
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import HERE, Places
from vpnportal.root_commands.portal_https import Portal

PORTAL_CLIENT = "portal"
REDIS_UNIT = "redis-server@vpnportal"
SECONDS = 5
# Owner of each copy of the portal's certificate, whose folder is readable to the owner's group.
SERVERS = {"tls": "root", "postgres": "postgres", "redis": "redis"}
# Services of the system that show it, which read it again without a restart.
READERS = ("postgresql.service", "nginx.service")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def read(cls, file: Path) -> Pair:
        """Return the pair in a file. Raises Failure if it has none."""
        try:
            text = file.read_bytes()
            key = serialization.load_pem_private_key(text, None)
            certificate = x509.load_pem_x509_certificate(text)
        except FileNotFoundError:
            raise Failure(
                f"There is no certificate {file}: run `vpnportal setup` on a portal, or "
                "`vpnportal gateway join` on a gateway."
            ) from None
        except ValueError:
            raise Failure(f"{file} has not a key and its certificate in PEM.") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Failure(f"{file} has not a key of the curve P-256.")
        return cls(key, certificate)

    @property
    def pem(self) -> bytes:
        """Key and certificate as one PEM text."""
        return pem_of_key(self.key) + pem(self.certificate)


def show(output: Output, places: Places = HERE) -> None:
    """Print the ends of this machine's certificates. Raises Failure without one."""
    found = [places.client, places.server("tls")]
    pairs = {file: Pair.read(file) for file in found if file.exists()}
    if not pairs:
        Pair.read(places.client)
    ends = {str(file): pair.certificate.not_valid_after_utc for file, pair in pairs.items()}
    output.result(certificates={file: end.isoformat() for file, end in ends.items()})
    for file, end in ends.items():
        output.say(f"{file} is valid until {end:%Y-%m-%d %H:%M} UTC.")


def renew(output: Output, *, force: bool, places: Places = HERE) -> None:
    """Renew the certificates of this machine that are due. Raises Failure."""
    now = datetime.now(UTC)
    if places.portal_settings.exists():
        renew_portal(output, now, force=force, places=places)
    elif places.gateway_settings.exists():
        if renew_gateway(output, now, force=force, places=places):
            name = files.read_settings(places.gateway_settings)["VPNPORTAL_CONCENTRATOR"]
            programs.systemctl(
                "try-restart", f"vpnportal-worker@{name}", f"vpnportal-monitor@{name}"
            )
            output.say("Worker and monitor use it. charon and the tunnels were not touched.")
    else:
        raise Failure(
            "This machine is neither a portal nor a gateway yet: run `vpnportal setup` or "
            "`vpnportal gateway join`."
        )


def renew_gateway(
    output: Output,
    now: datetime,
    *,
    force: bool = False,
    places: Places = HERE,
    ask: Callable[[Portal, str, dict[str, str]], dict[str, Any]] = Portal.ask,
) -> bool:
    """Get a new certificate for a gateway, if its own is due. Return True after that."""
    settings = files.read_settings(places.gateway_settings)
    current = Pair.read(places.client)
    end = current.certificate.not_valid_after_utc
    if not force and not is_due(current.certificate, now):
        output.say(f"The certificate is valid until {end:%Y-%m-%d}, and not due yet.")
        return False
    name, key = settings["VPNPORTAL_CONCENTRATOR"], new_key()
    request = signing_request(key, name).decode()
    signature = current.key.sign(messages.signed_part(request), ec.ECDSA(hashes.SHA256()))
    portal = Portal(settings["VPNPORTAL_PORTAL"], places.authority.read_text())
    values = {
        "name": name,
        "csr": request,
        "certificate": pem(current.certificate).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    answer = ask(portal, "renew", values)
    renewed = Pair(key, x509.load_pem_x509_certificate(str(answer["certificate"]).encode()))
    files.write(places.client, renewed.pem, files.SECRET)
    end = renewed.certificate.not_valid_after_utc
    output.say(f"The certificate of {name} is renewed, until {end:%Y-%m-%d %H:%M} UTC.")
    return True


def make_portal(
    names: list[str], now: datetime, output: Output, places: Places = HERE, *, force: bool = False
) -> bool:
    """Issue the certificates of the portal that are missing or due. Return True after a change.

    `names` are the names and addresses of the site.
    """
    authority = _authority(places)
    lifetime = lifetime_of(files.read_settings(places.signer_settings))
    changed = False
    server = places.server("tls")
    if force or _is_missing_or_due(server, now):
        issued = _issue(authority, names[0], SERVER, now, names, lifetime)
        files.write(server, issued.pem, files.SECRET)
        output.say(f"The certificate of {names[0]} is made: {server}")
        changed = True
    changed |= _copy_server(places)
    if force or _is_missing_or_due(places.client, now):
        own = _issue(authority, PORTAL_CLIENT, CLIENT, now, [], lifetime)
        files.write(places.client, own.pem, files.SECRET)
        output.say(f"The portal's certificate as a client is made: {places.client}")
        changed = True
    return changed


def renew_portal(
    output: Output, now: datetime, *, force: bool = False, places: Places = HERE
) -> None:
    """Renew the certificates of a portal, and let its services read them."""
    current = Pair.read(places.server("tls")).certificate
    names = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if not make_portal([str(name.value) for name in names], now, output, places, force=force):
        end = f"{current.not_valid_after_utc:%Y-%m-%d}"
        output.say(f"The certificates of the portal are not due yet. That of the site ends {end}.")
        return
    reload_readers()
    _reload_redis(places)
    # They get their credentials when they start. Requests wait in the socket meanwhile.
    programs.systemctl("try-restart", *programs.PORTAL_SERVICES, "vpnportal-enrolment")
    output.say("PostgreSQL, Redis, the web server and the portal use them.")


def make_database(host: str, now: datetime, output: Output, places: Places = HERE) -> bool:
    """Issue the certificate of a PostgreSQL on another machine. Return True unless it is there.

    It lives as long as the authority, because its administrator would have to bring each new one.
    """
    file = places.server("database")
    if file.exists() and Pair.read(file).certificate.not_valid_after_utc > now:
        return False
    files.make_folder(file.parent, "root", 0o700)
    issued = _issue(_authority(places), host, SERVER, now, [host], AUTHORITY_LIFETIME)
    files.write(file, issued.pem, files.SECRET)
    output.say(f"The certificate of {host} is made: {file}")
    return True


def reload_readers() -> None:
    """Let the services that run here read the certificate again."""
    for unit in READERS:
        if programs.is_active(unit):
            programs.systemctl("reload", unit)


def _reload_redis(places: Places) -> None:
    """Let Redis read its certificate again; setting the file name does that.

    A certificate that has ended accepts no connection, and then Redis starts again.
    """
    url = files.read_settings(places.certificate_settings).get("VPNPORTAL_BROKER_CERTIFICATES", "")
    if not url or not urlsplit(url).hostname:
        return
    file, authority = str(places.server("redis")), str(places.authority)
    client = str(places.client)
    try:
        with redis.Redis.from_url(
            url,
            ssl_ca_certs=authority,
            ssl_certfile=client,
            ssl_keyfile=client,
            socket_timeout=SECONDS,
        ) as connection:
            connection.execute_command("CONFIG", "SET", "tls-cert-file", file, "tls-key-file", file)
    except (redis.RedisError, OSError):
        programs.systemctl("try-restart", REDIS_UNIT)


def _authority(places: Places) -> Authority:
    try:
        return Authority.load(places.authority_key.read_bytes(), places.authority.read_bytes())
    except FileNotFoundError as error:
        raise Failure(
            f"There is no {error.filename}, which signs certificates: restore it from the backup "
            "of the keys, or run `vpnportal setup` on a new portal."
        ) from None
    except ValueError as error:
        raise Failure(f"The authority of this installation cannot be used: {error}") from None


def _is_missing_or_due(file: Path, now: datetime) -> bool:
    try:
        return is_due(Pair.read(file).certificate, now)
    except Failure:
        # Earlier versions had the key in a file of its own.
        return True


def _issue(
    authority: Authority,
    common_name: str,
    usage: x509.ObjectIdentifier,
    now: datetime,
    names: list[str],
    lifetime: timedelta = LIFETIME,
) -> Pair:
    key = new_key()
    issued = authority.issue(key.public_key(), common_name, usage, now, names, lifetime)
    return Pair(key, issued)


def _copy_server(places: Places) -> bool:
    """Write a copy for each service of this machine that shows the portal's certificate.

    Return True after a change.
    """
    content, changed = places.server("tls").read_bytes(), False
    for service, owner in SERVERS.items():
        if service != "tls" and files.has_user(owner):
            files.make_folder(places.etc / service, owner, 0o750)
            changed |= files.write(places.server(service), content, files.SECRET, owner)
    return changed
