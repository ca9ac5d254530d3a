"""The commands of root: settings of a site, files, services, and what a second setup changes."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from cryptography import x509
from django.core.exceptions import ImproperlyConfigured

from tests.unit.test_enrolment import START
from vpnportal.deployment import broker_access
from vpnportal.enrolment.authority import CLIENT, SERVER, Authority, make_authority, new_key
from vpnportal.gateway.requirements.findings import Level
from vpnportal.management.doctor import mail, own_certificate
from vpnportal.root_commands import __main__ as command_line
from vpnportal.root_commands import (
    certificates,
    files,
    gateways,
    programs,
    setup,
    setup_services,
    site_settings,
)
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import Places
from vpnportal.root_commands.portal_https import Portal
from vpnportal.root_commands.site_settings import Site
from vpnportal.settings import mail_settings

ADDRESSES = json.dumps(
    [
        {"addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"addr_info": [{"local": "10.77.0.10", "prefixlen": 24}]},
    ]
)
SITE = Site(
    "vpn.example.net", "10.77.0.10", "10.77.0.0/24", "local", "admin", "admin@example.net", ""
)


class Programs:
    """The programs of a machine with PostgreSQL, Redis and nginx: what was called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.is_running = False

    def run(self, *words: str, text: str = "") -> str:
        if words[0] == "ip":
            return ADDRESSES
        self.called.append(" ".join(words))
        if words[1:] == ("operator", "admin", "--email=admin@example.net", "--first"):
            return "" if self.is_running else "the-password"
        return "1" if self.is_running and "SELECT 1" in text else ""

    def changes(self) -> list[str]:
        """Return the restarts since the last call."""
        found = [call for call in self.called if "restart" in call or "reload" in call]
        self.called.clear()
        return found


@pytest.fixture
def machine(monkeypatch) -> Programs:
    fake = Programs()
    monkeypatch.setattr(programs, "run", fake.run)
    monkeypatch.setattr(programs, "is_active", lambda unit: fake.is_running)
    # The users of Debian's packages may be missing here.
    monkeypatch.setattr(files.os, "geteuid", lambda: 1)
    return fake


@pytest.fixture
def places(tmp_path) -> Places:
    """Return the folders of a machine after the first step of the guide."""
    places = Places(tmp_path)
    for folder in (
        *("etc/vpnportal/tls", "etc/vpnportal/keys", "etc/redis", "etc/postgresql/15/main/conf.d"),
        *("etc/nginx/sites-available", "etc/nginx/sites-enabled", "usr/share/vpnportal"),
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/postgresql/15/main/pg_hba.conf").write_text(
        "local all all peer\nhostssl vpnportal +vpnportal-gateways 10.0.0.0/8 scram-sha-256\n"
    )
    (tmp_path / "etc/nginx/sites-enabled/default").symlink_to("../sites-available/default")
    shared = Path(__file__).parents[2] / "packaging/vpnportal/usr/share/vpnportal"
    for name in ("redis.conf", "nginx.conf"):
        (tmp_path / "usr/share/vpnportal" / name).write_text((shared / name).read_text())
    return places


def options(*words: str):
    return command_line.parser().parse_args(["setup", "--no-input", *words])


NAMED = ("--name", "vpn.example.net", "--address", "10.77.0.10")


def everything(places: Places) -> dict[str, bytes]:
    found = (path for path in places.root.rglob("*") if path.is_file())
    return {str(path.relative_to(places.root)): path.read_bytes() for path in found}


def test_setup_makes_a_portal_and_a_second_run_changes_no_file_and_restarts_nothing(
    machine, places
):
    setup.run(options(*NAMED, "--email", "admin@example.net"), Output(is_json=True), places)

    first = everything(places)
    assert machine.changes()
    settings = files.read_settings(places.portal_settings)
    acl = first["etc/redis/vpnportal.acl"].decode()
    password = settings["VPNPORTAL_BROKER"].partition("@")[0].rpartition(":")[2]
    assert password not in acl
    assert [line.split()[1] for line in acl.splitlines()] == [
        *("default", "portal", "enrolment", "certificates"),
    ]
    access = first["etc/postgresql/15/main/pg_hba.conf"].decode().splitlines()
    assert access == [
        "local all all peer",
        "hostssl vpnportal +vpnportal-gateways 10.77.0.0/24 scram-sha-256 clientcert=verify-full",
    ]
    assert b"bind 10.77.0.10\n" in first["etc/redis/redis-vpnportal.conf"]
    assert b"server_name vpn.example.net;" in first["etc/nginx/sites-available/vpnportal"]
    secret = [name for name in first if (places.root / name).stat().st_mode & 0o077 == 0]
    assert {"etc/vpnportal/portal.env", "etc/vpnportal/keys/ca.secret"} < set(secret)
    for service in ("tls", "postgres", "redis"):
        assert f"etc/vpnportal/{service}/portal.pem" in secret

    machine.is_running = True
    output = Output(is_json=True)
    setup.run(options("--email", "admin@example.net"), output, places)

    assert everything(places) == first
    assert machine.changes() == []
    assert "There is an operator already." in output._steps


def test_a_setup_that_was_interrupted_goes_on_with_passwords_that_fit(machine, places, monkeypatch):
    def fail(*_) -> None:
        raise Failure("The disk is full.")

    monkeypatch.setattr(setup, "_write_settings", fail)
    with pytest.raises(Failure, match="disk is full"):
        setup.run(options(*NAMED), Output(is_json=True), places)
    monkeypatch.undo()
    monkeypatch.setattr(programs, "run", machine.run)
    monkeypatch.setattr(programs, "is_active", lambda unit: False)
    monkeypatch.setattr(files.os, "geteuid", lambda: 1)

    setup.run(options(*NAMED), Output(is_json=True), places)

    url = files.read_settings(places.portal_settings)["VPNPORTAL_BROKER"]
    password = url.partition("@")[0].rpartition(":")[2]
    acl = (places.root / setup_services.ACL).read_text()
    assert broker_access.portal_acl(password) in acl.splitlines()
    assert acl.count("user portal ") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--name is missing"),
        (("--name", "VPN"), "no DNS name in lower case"),
        (("--name", "vpn.example.net"), "--address is missing"),
        (("--name", "vpn.example.net", "--address", "10.9.9.9"), r"machine's: 10\.77\.0\.10"),
        ((*NAMED, "--gateways", "10.77.0.1/24"), "no network such as"),
        ((*NAMED, "--operator", "a b"), "--operator takes"),
        ((*NAMED, "--email", "olga"), "no address such as"),
        ((*NAMED, "--database", "mysql://x"), "--database takes local"),
        ((*NAMED, "--database", "postgresql://a:b@db.example.net/x"), "--database-password-file"),
        ((*NAMED, "--database", "postgresql://a@db.example.net"), "--database takes local"),
        (
            (*NAMED, "--database", "postgresql://a@db/x", "--database-password-file", "/none"),
            "--database-password-file /none cannot be read",
        ),
        ((*NAMED, "--mail-server", "mail"), "--mail-server takes smtp"),
        ((*NAMED, "--mail-server", "smtp://a:b@mail"), "belongs in --mail-password-file"),
        ((*NAMED, "--mail-server", "smtp://a@mail"), "--mail-password-file is missing"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_right_before_anything_is_made(
    words, sentence, machine, places, monkeypatch
):
    monkeypatch.setattr(site_settings.socket, "getaddrinfo", lambda *_: [])
    with pytest.raises(Failure, match=sentence):
        setup.run(options(*words), Output(is_json=True), places)
    assert not list(places.keys.iterdir())


def test_the_password_of_the_mail_server_comes_from_a_file_and_survives_special_characters(
    machine, places, tmp_path
):
    (tmp_path / "password").write_text("p@ss:w/rd%\n")
    words = ("--mail-server", "smtp://portal@mail.example.net:587")
    site = site_settings.read(
        options(*NAMED, *words, "--mail-password-file", str(tmp_path / "password")), places
    )

    settings = mail_settings(site.mail)

    assert (settings["EMAIL_HOST"], settings["EMAIL_PORT"]) == ("mail.example.net", 587)
    assert (settings["EMAIL_HOST_USER"], settings["EMAIL_HOST_PASSWORD"]) == (
        *("portal", "p@ss:w/rd%"),
    )
    assert (settings["EMAIL_USE_TLS"], settings["EMAIL_USE_SSL"]) == (True, False)
    assert mail_settings("smtps://mail")["EMAIL_PORT"] == 465
    with pytest.raises(ImproperlyConfigured, match="begin with smtp"):
        mail_settings("mail.example.net")


@pytest.mark.parametrize("password", ["", "its p@ss:w/rd%"], ids=["made", "from a file"])
def test_a_database_of_another_machine_stays_it_and_its_administrator_gets_no_password(
    machine, places, tmp_path, monkeypatch, password
):
    asked: list[str] = []

    def connect(url: str, **_) -> SimpleNamespace:
        asked.append(url)
        if len(asked) == 1:
            raise psycopg.OperationalError("connection refused")
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(psycopg, "connect", connect)
    words = ["--database", "postgresql://vpnportal@db.example.net/portal"]
    (tmp_path / "password").write_text(f"{password}\n")
    if password:
        words += ["--database-password-file", str(tmp_path / "password")]
    command = options(*NAMED, *words, "--gateways", "10.0.0.0/8")
    with pytest.raises(Failure, match="does not accept the portal yet: connection refused"):
        setup.run(command, Output(is_json=True), places)
    assert not [call for call in machine.called if "enable" in call and "vpnportal-web" in call]

    first = everything(places)
    setup.run(command, Output(is_json=True), places)
    setup.run(options(), Output(is_json=True), places)

    assert everything(places) == first
    settings = files.read_settings(places.portal_settings)
    url, authority = settings["VPNPORTAL_DATABASE_URL"], places.authority
    parts = urlsplit(url)
    secret = unquote(parts.password)
    assert secret == (password or secret)
    assert (len(secret) > 10, settings["VPNPORTAL_GATEWAYS"]) == (True, "10.0.0.0/8")
    assert (parts.hostname, parts.port, parts.path) == ("db.example.net", 5432, "/portal")
    assert parts.query == f"sslmode=verify-full&sslrootcert={authority}"
    signer = files.read_settings(places.signer_settings)
    assert signer["VPNPORTAL_GATEWAY_DATABASE"] == "postgresql://db.example.net:5432/portal"
    roles = signer["VPNPORTAL_ENROLMENT_DATABASE"]
    assert roles.endswith(f"@db.example.net:5432/postgres?{parts.query}")
    assert asked[1:3] == [url, roles]
    sql = first["etc/vpnportal/enrolment.sql"].decode()
    assert roles.partition("@")[0].rpartition(":")[2] not in sql
    assert secret not in sql
    assert sql.count("'SCRAM-SHA-256$4096:") == 2
    assert not [call for call in machine.called if "psql" in call]
    shown = certificates.Pair.read(places.server("database")).certificate
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["db.example.net"]
    assert shown.not_valid_after_utc - datetime.now(UTC) > timedelta(3600)


def test_a_setup_to_restore_a_backup_starts_no_service_and_makes_no_operator(machine, places):
    setup.run(options(*NAMED, "--no-start"), Output(is_json=True), places)

    assert not [call for call in machine.called if "vpnportal-web" in call or "operator" in call]
    assert places.portal_settings.exists()


def test_a_portal_of_the_first_guide_gets_files_with_certificate_and_key(machine, places):
    setup.run(options(*NAMED), Output(is_json=True), places)
    pair = certificates.Pair.read(places.server("tls"))
    files.write(places.server("tls"), certificates.pem(pair.certificate), files.PUBLIC)

    setup.run(options(*NAMED), Output(is_json=True), places)

    assert certificates.Pair.read(places.server("tls")).certificate != pair.certificate


def test_a_name_that_is_no_gateway_and_no_concentrator_is_refused(monkeypatch):
    monkeypatch.setattr(gateways, "ask_signer", lambda *_: {"was_there": False})
    with pytest.raises(Failure, match="There is no gateway hou02-vpn09"):
        gateways.remove("hou02-vpn09", False, Output(is_json=True), lambda *_: "")


@pytest.fixture
def site_of_test(tmp_path) -> Iterator[tuple[str, Authority]]:
    """Yield the address and the authority of an HTTPS server that answers with JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.path == "/gateway/renew" else 403)
            self.end_headers()
            self.wfile.write(b'{"error": "No."}')

        def log_message(self, *_) -> None:
            pass

    now, key = datetime.now(UTC), new_key()
    authority = Authority.load(*make_authority("x", now))
    issued = authority.issue(key.public_key(), "localhost", SERVER, now, ["localhost"])
    (tmp_path / "portal.pem").write_bytes(certificates.Pair(key, issued).pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "portal.pem")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"https://localhost:{server.server_port}", authority
        server.shutdown()


def test_a_gateway_asks_no_portal_but_the_one_of_its_file(site_of_test):
    address, authority = site_of_test
    ours = certificates.pem(authority.certificate).decode()
    other = make_authority("other", datetime.now(UTC))[1].decode()

    assert Portal(address, ours).ask("renew", {}) == {"error": "No."}
    for portal, operation, sentence in (
        (Portal(address, ours), "join", "No."),
        (Portal(address, other), "renew", "is not the portal of this file"),
        (Portal(address.replace("localhost", "127.0.0.1"), ours), "renew", "not the portal"),
        (Portal("https://localhost:1", ours), "renew", "does not answer at"),
        (Portal(address, "no certificate"), "renew", "not a certificate in PEM"),
    ):
        with pytest.raises(Failure, match=sentence):
            portal.ask(operation, {})


@pytest.mark.parametrize("user", ["1000", "0"])
def test_the_program_of_the_package_refuses_with_a_sentence_or_with_one_object(tmp_path, user):
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (tmp_path / "id").chmod(0o755)
    program = Path(__file__).parents[2] / "packaging/vpnportal/usr/sbin/vpnportal"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(program), "status", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    as_text, as_json = run(), run("--json")

    reason = "There is no /etc/vpnportal/portal.env" if user == "0" else "vpnportal needs root"
    assert (as_text.returncode, as_text.stdout) == (1, "")
    assert as_text.stderr.startswith(reason)
    assert (as_json.returncode, as_json.stderr) == (1, "")
    assert json.loads(as_json.stdout) == {"error": as_text.stderr.strip()}


def test_half_an_authority_is_not_replaced(machine, places):
    files.write(places.authority, b"x", files.PUBLIC)
    with pytest.raises(Failure, match=r"ca\.secret is missing: restore it"):
        setup.run(options(*NAMED), Output(is_json=True), places)


def test_a_gateway_is_no_portal(machine, places):
    files.write_settings(places.gateway_settings, {})
    with pytest.raises(Failure, match="This machine is a gateway"):
        setup.run(options(*NAMED), Output(is_json=True), places)


def test_two_commands_wait_for_each_other(tmp_path):
    entered, order = Event(), []

    def second() -> None:
        entered.set()
        with files.locked(tmp_path):
            order.append("second")

    with files.locked(tmp_path):
        other = Thread(target=second)
        other.start()
        entered.wait()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_no_link_in_a_folder_of_another_user_is_followed(places, tmp_path):
    target = tmp_path / "shadow"
    target.write_text("secret\n")
    (places.root / setup_services.ACL).symlink_to(target)
    with pytest.raises(Failure, match="cannot be read"):
        setup_services._read_own(places.root / setup_services.ACL)

    file = tmp_path / "etc/redis/redis-vpnportal.conf"
    file.symlink_to(target)
    files.write(file, b"new", files.PUBLIC)
    assert (target.read_text(), file.read_bytes()) == ("secret\n", b"new")
    assert not file.is_symlink()


def test_the_certificates_of_a_portal_keep_their_names_when_they_are_renewed(
    machine, places, monkeypatch
):
    # The database is on another machine.
    monkeypatch.setattr(programs, "is_active", lambda unit: unit == "nginx.service")
    # Redis accepts no connection once its certificate has ended.
    ended = {"VPNPORTAL_BROKER_CERTIFICATES": "rediss://certificates:x@localhost:1/0"}
    files.write_settings(places.certificate_settings, ended)
    certificates_of = lambda: certificates.Pair.read(places.server("tls")).certificate  # noqa: E731
    key, certificate = make_authority("vpn.example.net", START)
    files.write(places.authority_key, key, files.SECRET)
    files.write(places.authority, certificate, files.PUBLIC)
    names = ["vpn.example.net", "10.77.0.10"]
    certificates.make_portal(names, START, Output(is_json=True), places)
    first = certificates_of()

    certificates.renew_portal(Output(is_json=True), START + timedelta(days=59), places=places)
    assert certificates_of() == first
    assert machine.called == []
    certificates.renew_portal(Output(is_json=True), START + timedelta(days=61), places=places)

    second = certificates_of()
    assert second != first
    kind = certificates.x509.SubjectAlternativeName
    alternative = second.extensions.get_extension_for_class(kind).value
    assert [str(name.value) for name in alternative] == names
    services = ("tls", "postgres", "redis")
    assert len({places.server(service).read_bytes() for service in services}) == 1
    reloads = [call for call in machine.called if " reload " in call]
    assert reloads == ["systemctl --quiet reload nginx.service"]
    assert machine.called[-2:] == [
        "systemctl --quiet try-restart redis-server@vpnportal",
        "systemctl --quiet try-restart vpnportal-web vpnportal-beat vpnportal-tasks"
        " vpnportal-enrolment",
    ]


@pytest.mark.parametrize(
    ("days", "level", "text"),
    [
        (1, Level.OK, "is valid until"),
        (70, Level.WARNING, "was not renewed in time"),
        (91, Level.ERROR, "It ended at"),
    ],
)
def test_doctor_reports_a_certificate_that_was_not_renewed(days, level, text, tmp_path, settings):
    issued = datetime.now(UTC) - timedelta(days=days)
    authority = Authority.load(*make_authority("x", issued))
    key = new_key()
    pair = certificates.Pair(key, authority.issue(key.public_key(), "gw_x", CLIENT, issued))
    (tmp_path / "tls.key").write_bytes(pair.pem)
    settings.CLIENT_TLS_FILE = str(tmp_path / "tls.key")

    (finding,) = own_certificate.own_certificate()

    assert (finding.level, text in finding.text) == (level, True)


@pytest.mark.parametrize(
    ("error", "level", "text"),
    [
        (None, Level.OK, "takes mail of"),
        (smtplib.SMTPAuthenticationError(535, b"no"), Level.ERROR, "refuses user and password"),
        (smtplib.SMTPNotSupportedError("STARTTLS not supported"), Level.ERROR, "STARTTLS"),
        (TimeoutError("timed out"), Level.ERROR, "timed out"),
    ],
)
def test_doctor_asks_the_mail_server(error, level, text, settings, monkeypatch):
    class Connection:
        def open(self) -> None:
            if error:
                raise error

        def close(self) -> None:
            pass

    settings.MAIL_URL = "smtp://portal:secret@mail"
    monkeypatch.setattr(mail, "get_connection", Connection)

    (finding,) = mail.mail_server()

    assert (finding.level, text in finding.text) == (level, True)
    assert "secret" not in finding.text


@pytest.mark.parametrize(
    ("words", "status"),
    [((), 2), (("--help",), 0), (("gateway",), 2), (("gateway", "nonsense"), 2)],
)
def test_help_and_a_wrong_use_have_their_status(words, status, capsys):
    try:
        found = command_line.main(list(words))
    except SystemExit as end:
        found = end.code

    printed = capsys.readouterr()
    assert found == status
    assert "gateway" in printed.out + printed.err


@pytest.mark.parametrize("command", ["setup", "gateway add", "gateway join", "certificates renew"])
def test_each_command_has_help_and_json(command, capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main([*command.split(), "--help"])
    assert end.value.code == 0
    assert "--json" in capsys.readouterr().out
