"""The signer and a gateway that joins: tokens, certificates, renewals, removal."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from vpnportal.enrolment import messages
from vpnportal.enrolment.authority import (
    CLIENT,
    SERVER,
    Authority,
    make_authority,
    new_key,
    pem,
    signing_request,
)
from vpnportal.enrolment.client import SignerAway, ask
from vpnportal.enrolment.registry import Registry
from vpnportal.enrolment.server import serve
from vpnportal.enrolment.signer import CannotGive, Signer
from vpnportal.root_commands import certificates, files, join
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import Places
from vpnportal.root_commands.portal_https import Portal

NAME, OTHER = "hou02-vpn01", "hou02-vpn02"
START = datetime(2027, 1, 1, 12, tzinfo=UTC)
ADDRESSES = {
    "database": "postgresql://vpn.example.net:5432/vpnportal",
    "broker": "rediss://vpn.example.net:6380/0",
}


class RecordingAccess:
    """Access of gateways that records what it was asked, and can be away."""

    def __init__(self) -> None:
        self.given: dict[str, tuple[str, str]] = {}
        self.is_away = False

    def give(self, name: str, verifier: str, broker_digest: str) -> None:
        if self.is_away:
            raise CannotGive("PostgreSQL is away.")
        self.given[name] = (verifier, broker_digest)

    def end(self, name: str) -> None:
        self.given.pop(name, None)


class PortalOfTest:
    """A signer with a clock, and a gateway's question to it without a network."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.access = RecordingAccess()
        self.authority = Authority.load(*make_authority("vpn.example.net", START))
        self.folder = folder
        folder.mkdir()
        self.signer = Signer(
            self.authority,
            Registry(folder),
            self.access,
            lambda name: name.encode().ljust(32, b"."),
            ADDRESSES,
            clock=lambda: self.now,
        )
        self.sent: list[dict[str, str]] = []

    def root(self, operation: str, **values: str) -> dict:
        message = json.dumps({"operation": operation, **values}).encode()
        return self.signer.answer(message, is_root=True)

    def web(self, operation: str, **values: str) -> dict:
        message = json.dumps({"operation": operation, **values}).encode()
        return self.signer.answer(message, is_root=False)

    def ask(self, portal: Portal, operation: str, values: dict[str, str]) -> dict:
        """Answer a gateway as the web process does."""
        self.sent.append(values)
        answer = self.web(operation, **values)
        if answer["status"] != 200:
            raise Failure(answer["error"])
        return answer

    def add(self, folder: Path, name: str = NAME) -> Path:
        """Return the file of `gateway add`."""
        opened = self.root("open", name=name)
        file = folder / f"{name}.join"
        content = {
            "portal": "https://vpn.example.net:8443",
            "name": name,
            "authority": opened["authority"],
            "token": opened["token"],
            "until": "2027-01-01 13:00 UTC",
        }
        file.write_text(json.dumps(content))
        return file


@pytest.fixture
def portal(tmp_path) -> PortalOfTest:
    return PortalOfTest(tmp_path / "signer")


@pytest.fixture
def gateway(tmp_path) -> Places:
    """Return the files of a machine with the packages."""
    places = Places(tmp_path / "gateway")
    (places.etc / "tls").mkdir(parents=True)
    places.keys.mkdir()
    return places


@pytest.fixture
def quiet() -> Output:
    return Output(is_json=True)


def certificate_of(places: Places) -> x509.Certificate:
    return certificates.Pair.read(places.client).certificate


def test_a_gateway_joins_once_with_its_file_and_no_secret_of_it_leaves_the_machine(
    portal, gateway, quiet, tmp_path
):
    file = portal.add(tmp_path)

    assert join.join(file, quiet, gateway, portal.ask) == NAME

    certificate = certificate_of(gateway)
    portal.authority.check(certificate, START)
    assert certificate.subject.rfc4514_string() == f"CN=gw_{NAME}"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [CLIENT]
    settings = files.read_settings(gateway.gateway_settings)
    (request,) = portal.sent
    sent = json.dumps(request)
    passwords = [
        settings[name].partition("@")[0].rpartition(":")[2]
        for name in ("VPNPORTAL_DATABASE_URL", "VPNPORTAL_BROKER")
    ]
    private = (gateway.keys / "gateway.key").read_text().strip()
    assert all(len(secret) >= 44 and secret not in sent for secret in (*passwords, private))
    assert "PRIVATE" not in sent
    assert portal.access.given[NAME] == (request["verifier"], request["broker_digest"])
    assert (gateway.keys / "concentrator.key").read_text().startswith("aG91MDItdnBuMDE")
    modes = {path.name: path.stat().st_mode & 0o777 for path in gateway.keys.iterdir()}
    assert modes == {"tls.key": 0o600, "gateway.key": 0o600, "concentrator.key": 0o600}
    assert gateway.gateway_settings.stat().st_mode & 0o777 == 0o600

    with pytest.raises(Failure, match="wrong, used, or over"):
        join.join(file, quiet, gateway, portal.ask)
    assert certificate_of(gateway) == certificate, "a refused join changes nothing"


def test_a_token_counts_for_an_hour_for_its_own_name_and_until_the_next_add(
    portal, gateway, quiet, tmp_path
):
    file = portal.add(tmp_path)
    portal.now += timedelta(minutes=61)
    with pytest.raises(Failure, match="over"):
        join.join(file, quiet, gateway, portal.ask)

    portal.now = START
    file.write_text(file.read_text().replace(NAME, OTHER))
    with pytest.raises(Failure, match="wrong"):
        join.join(file, quiet, gateway, portal.ask)

    earlier = portal.add(tmp_path).rename(tmp_path / "earlier")
    newer = portal.add(tmp_path)
    with pytest.raises(Failure, match="wrong"):
        join.join(earlier, quiet, gateway, portal.ask)
    assert not gateway.gateway_settings.exists()
    assert join.join(newer, quiet, gateway, portal.ask) == NAME


def test_the_signer_keeps_a_digest_of_the_token_in_a_file_of_its_own(portal, tmp_path):
    token = json.loads(portal.add(tmp_path).read_text())["token"]

    (file,) = portal.folder.iterdir()

    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_only_root_opens_lists_and_removes_gateways(portal):
    for operation, values in (("open", {"name": NAME}), ("remove", {"name": NAME}), ("list", {})):
        assert portal.web(operation, **values)["status"] == 403
        assert portal.root(operation, **values)["status"] == 200


def test_a_token_is_still_good_after_an_attempt_while_the_database_was_away(
    portal, gateway, quiet, tmp_path
):
    file = portal.add(tmp_path)
    portal.access.is_away = True
    with pytest.raises(Failure, match="PostgreSQL is away"):
        join.join(file, quiet, gateway, portal.ask)

    portal.access.is_away = False
    assert join.join(file, quiet, gateway, portal.ask) == NAME


@pytest.fixture
def joined(portal, gateway, quiet, tmp_path) -> Places:
    join.join(portal.add(tmp_path), quiet, gateway, portal.ask)
    return gateway


def renew(portal: PortalOfTest, places: Places, **options: bool) -> bool:
    output = Output(is_json=True)
    return certificates.renew_gateway(output, portal.now, places=places, ask=portal.ask, **options)


def test_a_certificate_is_renewed_after_two_thirds_of_its_life_with_another_key(portal, joined):
    first = certificate_of(joined)
    portal.now += timedelta(days=59)
    assert not renew(portal, joined)

    portal.now += timedelta(days=2)
    assert renew(portal, joined)

    second = certificate_of(joined)
    assert second.public_key() != first.public_key()
    assert second.not_valid_after_utc - portal.now == timedelta(days=90)
    portal.now += timedelta(days=61)
    assert renew(portal, joined)


def test_a_gateway_that_did_not_get_the_answer_renews_again(portal, joined):
    lost = joined.client.read_bytes()
    assert renew(portal, joined, force=True)
    files.write(joined.client, lost, files.SECRET)

    assert renew(portal, joined, force=True)


def test_a_renewal_is_refused_with_an_ended_replaced_removed_or_foreign_certificate(
    portal, joined, tmp_path
):
    first = joined.client.read_bytes()
    for _ in range(2):
        assert renew(portal, joined, force=True)
    current = joined.client.read_bytes()
    files.write(joined.client, first, files.SECRET)
    with pytest.raises(Failure, match="replaced by another"):
        renew(portal, joined, force=True)

    key = new_key()
    other = Authority.load(*make_authority("other", START))
    foreign = certificates.Pair(key, other.issue(key.public_key(), f"gw_{NAME}", CLIENT, START))
    files.write(joined.client, foreign.pem, files.SECRET)
    with pytest.raises(Failure, match="not one of this installation"):
        renew(portal, joined, force=True)

    own = portal.authority.issue(key.public_key(), f"gw_{OTHER}", CLIENT, START)
    files.write(joined.client, certificates.Pair(key, own).pem, files.SECRET)
    with pytest.raises(Failure, match="not that of a gateway hou02-vpn01"):
        renew(portal, joined, force=True)

    files.write(joined.client, current, files.SECRET)
    portal.now += timedelta(days=91)
    with pytest.raises(Failure, match=r"ended at .*run `vpnportal gateway add hou02-vpn01`"):
        renew(portal, joined)

    portal.now = START
    assert portal.root("remove", name=NAME)["was_there"]
    with pytest.raises(Failure, match="not that of a gateway"):
        renew(portal, joined, force=True)
    portal.add(tmp_path)
    with pytest.raises(Failure, match="replaced"):
        renew(portal, joined, force=True)


def test_a_renewal_needs_the_key_of_the_certificate(portal, joined):
    stolen = certificates.Pair(new_key(), certificate_of(joined))
    files.write(joined.client, stolen.pem, files.SECRET)

    with pytest.raises(Failure, match="signature is not that of the certificate's key"):
        renew(portal, joined, force=True)


def test_a_portal_and_another_gateway_refuse_to_join(portal, gateway, quiet, tmp_path):
    files.write_settings(gateway.portal_settings, {"VPNPORTAL_HOSTS": "vpn.example.net"})
    with pytest.raises(Failure, match="This machine is a portal"):
        join.join(portal.add(tmp_path), quiet, gateway, portal.ask)
    gateway.portal_settings.unlink()
    files.write_settings(gateway.gateway_settings, {"VPNPORTAL_CONCENTRATOR": OTHER})
    with pytest.raises(Failure, match=f"is the gateway {OTHER} already"):
        join.join(portal.add(tmp_path), quiet, gateway, portal.ask)
    assert portal.sent == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "\x00", '{"portal": 1}', "[" * 20_000, '{"name": "x"}']
)
def test_a_file_that_add_did_not_write_is_refused(content: str, portal, gateway, quiet, tmp_path):
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(Failure, match="not a file from `vpnportal gateway add`"):
        join.join(file, quiet, gateway, portal.ask)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"", "one JSON object"),
        (b"[" * 10_000, "one JSON object"),
        (b'{"operation": ["join"]}', "operation must be one of"),
        (b'{"operation": "_issue"}', "operation must be one of"),
        (b'{"operation": "renew", "name": "x"}', "renew takes name, csr"),
        (b'{"operation": "open", "name": "../x"}', "lower-case letters"),
        (b'{"operation": "open", "name": "x\\n"}', "lower-case letters"),
        (b'{"operation": "open", "name": 7}', "lower-case letters"),
        (b" " * (messages.MAX_BYTES + 1), "at most 16384 bytes"),
    ],
)
def test_a_message_that_is_not_understood_gets_a_sentence(message, sentence, portal):
    answer = portal.signer.answer(message, is_root=True)

    assert answer["status"] == 400
    assert sentence in answer["error"]


def test_only_a_key_of_the_curve_p_256_gets_a_certificate(portal, gateway, quiet, tmp_path):
    request = signing_request(ec.generate_private_key(ec.SECP384R1()), "x").decode()

    def ask(to: Portal, operation: str, values: dict[str, str]) -> dict:
        return portal.ask(to, operation, {**values, "csr": request})

    with pytest.raises(Failure, match="P-256"):
        join.join(portal.add(tmp_path), quiet, gateway, ask)


def test_the_socket_serves_one_message_each_and_survives_a_bad_one(portal, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=serve, args=(listener, portal.signer, 1.0))
        server.start()
        with socket.socket(socket.AF_UNIX) as broken:
            broken.connect(str(path))
        assert ask("list", {}, path)["status"] in (200, 403)
        assert ask("nonsense", {}, path)["status"] == 400
        server.join()
    with pytest.raises(SignerAway, match=r"enrolment\.socket"):
        ask("list", {}, path)


def test_a_client_of_python_3_13_accepts_authority_and_server(tmp_path):
    """The flags are those of Python 3.13's default context."""
    now, key = datetime.now(UTC), new_key()
    ours, other = (Authority.load(*make_authority(name, now)) for name in ("ours", "other"))
    names = ["localhost", "10.77.0.10"]
    issued = ours.issue(key.public_key(), "localhost", SERVER, now, names)
    file = tmp_path / "portal.pem"
    file.write_bytes(certificates.Pair(key, issued).pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    for trusted, is_accepted in ((ours, True), (other, False)):
        context = ssl.create_default_context(cadata=pem(trusted.certificate).decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        assert handshake(context, served) == is_accepted


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Return True if a client accepts a server, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True
