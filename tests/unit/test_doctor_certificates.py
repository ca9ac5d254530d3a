"""The doctor's check of certificates: each fault has its own sentence, on a real TLS connection."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.doctor import Authority
from vpnportal.gateway.requirements.findings import Finding, Level
from vpnportal.management.doctor import certificates

NAME = "subjectAltName=DNS:localhost\n"
IDENTIFIER = "authorityKeyIdentifier=keyid\n"
SERVER = "extendedKeyUsage=serverAuth\n"
GOOD = NAME + IDENTIFIER + SERVER


@contextmanager
def serving(folder: Path, *, as_postgres: bool = False) -> Iterator[int]:
    """Serve TLS with the certificate in a folder, after PostgreSQL's request if need be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if as_postgres:
                assert self.request.recv(8) == certificates.SSL_REQUEST
                self.request.sendall(b"S")
            try:
                with context.wrap_socket(self.request, server_side=True) as client:
                    client.recv(1)
            except OSError:
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def broker_findings(folder: Path, settings, host: str = "localhost") -> list[Finding]:
    with serving(folder) as port:
        settings.CELERY_BROKER_URL = f"rediss://portal:canary-password@{host}:{port}/0"
        settings.CELERY_BROKER_USE_SSL = {"ssl_ca_certs": str(folder / "ca.pem")}
        return list(certificates.broker_certificate())


@pytest.mark.parametrize(
    ("extensions", "days", "level", "text"),
    [
        (GOOD, 730, Level.OK, "valid for 729 days"),
        (NAME + IDENTIFIER, 730, Level.OK, "valid for 729 days"),
        (GOOD, 12, Level.OK, "valid for 11 days"),
        (GOOD, -1, Level.ERROR, "It ended on "),
        (
            NAME + IDENTIFIER + "extendedKeyUsage=clientAuth\n",
            730,
            Level.ERROR,
            "Its extendedKeyUsage lacks serverAuth.",
        ),
        (
            GOOD + "keyUsage=critical,keyAgreement\n",
            730,
            Level.ERROR,
            "Its keyUsage lacks digitalSignature",
        ),
        (
            "subjectAltName=DNS:vpn.example.net\n" + IDENTIFIER + SERVER,
            730,
            Level.ERROR,
            "It is not for the name localhost: it has vpn.example.net.",
        ),
        (
            NAME + SERVER + "authorityKeyIdentifier=none\n",
            730,
            Level.WARNING,
            "so a gateway with Debian 13, refuses it: Missing Authority Key Identifier",
        ),
    ],
)
def test_each_fault_of_a_certificate_has_its_sentence(
    tmp_path, settings, extensions: str, days: int, level: Level, text: str
):
    folder = Authority(tmp_path / "ca").issue(extensions, days)

    (finding,) = broker_findings(folder, settings)

    assert (finding.level, text in finding.text) == (level, True), finding
    assert bool(finding.remedy) == (level is not Level.OK)


def test_an_authority_without_key_usage_works_until_debian_13(tmp_path, settings):
    folder = Authority(tmp_path / "ca", extensions="").issue(GOOD)

    (finding,) = broker_findings(folder, settings)

    assert finding.level is Level.WARNING
    assert "CA cert does not include key usage extension" in finding.text
    assert "keyUsage=keyCertSign" in finding.remedy


def test_an_authority_that_ends_soon_is_found_before_the_certificates_of_all_gateways(
    tmp_path, settings, monkeypatch
):
    monkeypatch.setattr(certificates, "PART_LEFT", 1)
    folder = Authority(tmp_path / "ca", days=9).issue(GOOD)

    soon, good = broker_findings(folder, settings)

    assert (soon.requirement, soon.level) == ("certificates/broker authority", Level.WARNING)
    assert "It ends in 8 days" in soon.text
    assert good.level is Level.OK


def test_a_certificate_of_another_authority_is_refused(tmp_path, settings):
    folder = Authority(tmp_path / "ca").issue(GOOD)
    other = Authority(tmp_path / "other")
    (folder / "ca.pem").write_bytes(other.file.read_bytes())

    (finding,) = broker_findings(folder, settings)

    assert finding.level is Level.ERROR
    assert finding.text.startswith("A client refuses it: ")


def test_a_missing_authority_and_a_silent_server_are_told_apart(tmp_path, settings):
    folder = Authority(tmp_path / "ca").issue(GOOD)
    settings.CELERY_BROKER_URL = "rediss://portal:canary-password@localhost:1/0"
    settings.CELERY_BROKER_USE_SSL = {"ssl_ca_certs": str(folder / "ca.pem")}
    (silent,) = certificates.broker_certificate()
    (folder / "ca.pem").write_text("no certificate")
    (damaged,) = certificates.broker_certificate()
    (folder / "ca.pem").unlink()
    (missing,) = certificates.broker_certificate()

    assert silent.level is Level.WARNING
    assert silent.text.startswith("unknown: localhost shows no certificate")
    file = folder / "ca.pem"
    assert damaged.text == f"The certificate authority {file} cannot be read: it is no PEM file."
    assert missing.text.endswith(f"{file} cannot be read: No such file or directory.")
    assert damaged.level is missing.level is Level.ERROR


def test_a_broker_in_the_clear_is_red(settings):
    settings.CELERY_BROKER_URL = "redis://portal:canary-password@10.77.0.10:6379/0"

    (finding,) = certificates.broker_certificate()

    assert finding.level is Level.ERROR
    assert "The broker 10.77.0.10 is used without TLS" in finding.text


@pytest.fixture
def postgres(monkeypatch, settings):
    """Return the setting of a PostgreSQL on another machine, which no test connects to."""
    monkeypatch.setattr(certificates, "connection", SimpleNamespace(vendor="postgresql"))
    database = {"HOST": "localhost", "PORT": 1, "OPTIONS": {"sslmode": "verify-full"}}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    return database


def test_the_certificate_of_the_database_is_that_after_its_own_request_for_tls(
    tmp_path, postgres, monkeypatch
):
    # As if this were the last quarter of a longer life.
    monkeypatch.setattr(certificates, "PART_LEFT", 1)
    folder = Authority(tmp_path / "ca").issue(GOOD, days=12)
    postgres["OPTIONS"]["sslrootcert"] = str(folder / "ca.pem")

    with serving(folder, as_postgres=True) as port:
        postgres["PORT"] = port
        (finding,) = certificates.database_certificate()

    assert (finding.requirement, finding.level) == ("certificates/database", Level.WARNING)
    assert "It ends in 11 days" in finding.text


def test_a_database_that_a_gateway_does_not_verify_is_red(postgres):
    postgres["HOST"], postgres["OPTIONS"] = "vpn.example.net", {"sslmode": "require"}

    (finding,) = certificates.database_certificate()

    assert finding.level is Level.ERROR
    assert finding.text.startswith("sslmode is require: another machine could be taken for")
    assert "sslmode=verify-full" in finding.remedy


class Behind:
    """A PostgreSQL behind a Unix socket, with these settings of TLS and TCP."""

    vendor = "postgresql"

    def __init__(self, *shown: str) -> None:
        self._shown = shown

    def cursor(self):
        return nullcontext(
            SimpleNamespace(execute=lambda query: None, fetchone=lambda: self._shown)
        )


@pytest.mark.parametrize(
    ("names", "level", "text"),
    [
        ("DNS:localhost", Level.OK, "valid for 729 days"),
        ("DNS:other.example.net", Level.ERROR, "It is not for the name localhost"),
    ],
)
def test_behind_a_unix_socket_it_is_the_certificate_that_gateways_see(
    tmp_path, postgres, settings, monkeypatch, names: str, level: Level, text: str
):
    folder = Authority(tmp_path / "ca").issue(f"subjectAltName={names}\n{IDENTIFIER}")
    postgres["HOST"] = "/run/postgresql"
    settings.CELERY_BROKER_URL = "rediss://portal:canary-password@localhost:6380/0"
    settings.CELERY_BROKER_USE_SSL = {"ssl_ca_certs": str(folder / "ca.pem")}

    with serving(folder, as_postgres=True) as port:
        behind = Behind("on", "127.0.0.1, 10.77.0.10", str(port))
        monkeypatch.setattr(certificates, "connection", behind)
        (finding,) = certificates.database_certificate()

    assert (finding.level, text in finding.text) == (level, True), finding


@pytest.mark.parametrize(
    ("shown", "level", "text"),
    [
        (("off", "10.77.0.10", "5432"), Level.WARNING, "PostgreSQL listens on 10.77.0.10 without"),
        (("off", "", "5432"), Level.OK, "PostgreSQL has a Unix socket only"),
    ],
)
def test_a_postgresql_that_listens_without_tls_is_yellow(postgres, monkeypatch, shown, level, text):
    postgres["HOST"] = ""
    monkeypatch.setattr(certificates, "connection", Behind(*shown))

    (finding,) = certificates.database_certificate()

    assert (finding.level, text in finding.text) == (level, True), finding
