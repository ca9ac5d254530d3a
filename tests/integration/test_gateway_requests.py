"""The requests of gateways to the pages: what is passed on, limited, and recorded."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.unit.test_enrolment import PortalOfTest
from vpnportal.enrolment import client as signer_client
from vpnportal.enrolment.server import serve
from vpnportal.models import AddressPool, Concentrator
from vpnportal.root_commands import join
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import Places
from vpnportal.web import gateway_enrolment

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
NAME = "hou02-vpn01"


@pytest.fixture
def signer(tmp_path, monkeypatch) -> Iterator[PortalOfTest]:
    """Yield a signer that listens where the pages ask."""
    portal = PortalOfTest(tmp_path / "signer")
    portal.now = datetime.now(UTC).replace(microsecond=0)
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        monkeypatch.setattr(signer_client, "ask", _asking(path))
        thread = threading.Thread(target=serve, args=(listener, portal.signer, 1.0))
        thread.start()
        yield portal
        thread.join()


def _asking(path: Path):
    original = signer_client.ask
    return lambda operation, values: original(operation, values, path)


@pytest.fixture(autouse=True)
def _no_request_before():
    gateway_enrolment.REQUESTS.clear()


@pytest.fixture
def machine(tmp_path) -> Places:
    places = Places(tmp_path / "machine")
    (places.etc / "tls").mkdir(parents=True)
    places.keys.mkdir()
    return places


def test_a_gateway_joins_through_the_pages_which_keep_its_public_key_and_the_end(
    signer, machine, client, concentrator, tmp_path, django_assert_max_num_queries
):
    def post(_, operation: str, values: dict[str, str]) -> dict:
        with django_assert_max_num_queries(20):
            answer = client.post(
                f"/gateway/{operation}", json.dumps(values), content_type="application/json"
            )
        assert "sessionid" not in answer.cookies
        if answer.status_code != 200:
            raise Failure(answer.json()["error"])
        return answer.json()

    file = signer.add(tmp_path)
    assert join.join(file, Output(is_json=True), machine, post) == NAME

    concentrator.refresh_from_db()
    assert len(concentrator.envelope_key) == 44
    assert (concentrator.certificate_until - signer.now).days == 90
    with pytest.raises(Failure, match="wrong, used, or over"):
        join.join(file, Output(is_json=True), machine, post)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ("", 400, "one JSON object"),
        ("[1]", 400, "one JSON object"),
        ("[" * 9000, 400, "one JSON object"),
        ("{}", 400, "join takes name, token"),
        ("x" * 20_000, 413, "at most 16384 bytes"),
        # The page names the operation, whatever the body has.
        ('{"operation": "open", "name": "hou02-vpn01"}', 400, "join takes"),
    ],
)
def test_a_wrong_request_gets_a_sentence(body, status, sentence, signer, client):
    answer = client.post("/gateway/join", body, content_type="application/json")

    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_a_portal_whose_signer_is_away_says_so_and_limits_requests(client, monkeypatch, tmp_path):
    monkeypatch.setattr(signer_client, "ask", _asking(tmp_path / "no-socket"))

    statuses = [
        client.post("/gateway/renew", "{}", content_type="application/json").status_code
        for _ in range(11)
    ]

    assert statuses == [503] * 10 + [429]
    assert client.get("/gateway/join").status_code == 405


def concentrator_command(*words: str) -> str:
    out = StringIO()
    call_command("concentrator", *words, stdout=out)
    return out.getvalue()


NEW = ("--public-address=198.51.100.1", "--datacenter=ams03", "--location=Amsterdam 3")
POOLS = ("--hosted-peers=198.51.100.16/28", "--static-nat=10.9.0.0/24")


def test_add_makes_a_concentrator_with_its_pools_and_a_second_time_nothing(db):
    assert "is made" in concentrator_command("add", "ams03-vpn01", *NEW, *POOLS)
    assert "is there" in concentrator_command("add", "ams03-vpn01")
    assert "is there" in concentrator_command("add", "ams03-vpn01", *NEW, *POOLS)

    row = Concentrator.objects.get(name="ams03-vpn01")
    assert (row.public_address, row.datacenter.long_name) == ("198.51.100.1", "Amsterdam 3")
    assert {str(pool.network) for pool in row.pools.all()} == {"198.51.100.16/28", "10.9.0.0/24"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("new",), "needs --datacenter"),
        (("new", "--datacenter=hou02"), "needs --public-address"),
        (("new", "--datacenter=hou02", "--public-address=2001:db8::1"), "IPv4 address"),
        (("New", *NEW), "valid value"),
        ((NAME, "--public-address=198.51.100.9"), "has the public address 203.0.113.1"),
        ((NAME, "--static-nat=10.0.0.1/24"), "no IPv4 network"),
        ((NAME, "--static-nat=0.0.0.0/0"), "at most a /8"),
        ((NAME, "--static-nat=10.1.255.128/25"), "overlaps 10.1.255.0/24 of hou02-vpn01"),
    ],
)
def test_add_refuses_what_is_missing_or_used_and_changes_nothing(words, sentence, concentrator):
    AddressPool.objects.create(
        concentrator=concentrator, kind="static-nat", network="10.1.255.0/24"
    )
    with pytest.raises(CommandError, match=sentence):
        concentrator_command("add", *words)
    assert (Concentrator.objects.count(), AddressPool.objects.count()) == (1, 1)


def test_a_gateway_with_tunnels_is_removed_only_with_the_flag(tunnel, concentrator):
    Concentrator.objects.update(envelope_key="k" * 44, certificate_until=datetime.now(UTC))
    with pytest.raises(CommandError, match=r"has 1 tunnel\. Move them first"):
        concentrator_command("check_removal", NAME)

    assert "has 1 tunnel." in concentrator_command("check_removal", NAME, "--with-tunnels")
    concentrator_command("removed", NAME)

    concentrator.refresh_from_db()
    assert (concentrator.envelope_key, concentrator.certificate_until) == ("", None)


def test_a_gateway_whose_concentrator_was_deleted_can_be_removed(db):
    assert "has no tunnels" in concentrator_command("check_removal", "deleted")
    assert concentrator_command("removed", "deleted").strip() == ""


def test_status_shows_gateways_tunnels_and_checks_and_a_gateway_offline_is_red(
    tunnel, concentrator, tmp_path, settings
):
    settings.BACKUPS = tmp_path
    until = datetime(2027, 3, 1, tzinfo=UTC)
    Concentrator.objects.update(seen_at=datetime(2026, 1, 1, tzinfo=UTC), certificate_until=until)
    out = StringIO()

    with pytest.raises(SystemExit) as end:
        call_command("status", "--json", stdout=out)

    summary = json.loads(out.getvalue())
    (gateway,) = summary["gateways"]
    assert end.value.code == 2
    assert gateway["name"] == NAME
    assert not gateway["online"]
    assert gateway["certificate_until"].startswith("2027-03-01")
    assert sum(summary["tunnels"].values()) == 1
    assert "backup" in {check["name"] for check in summary["checks"]}


def test_the_first_operator_is_made_once(db):
    out = StringIO()
    call_command("operator", "admin", "--first", stdout=out)
    again = StringIO()
    call_command("operator", "other", "--first", stdout=again)

    assert again.getvalue() == ""
    assert User.objects.get().check_password(out.getvalue().strip())
