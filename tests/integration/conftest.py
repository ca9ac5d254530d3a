"""An account with the tunnel of the example, its users, and the keys of the tests."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from tests.api_client import Program
from tests.fake_gateway import FakeGateway
from tests.integration import as_gateway
from tests.integration.another_account import make_another_account
from tests.key_folder import use_keys
from vpnportal import services
from vpnportal.api import authentication
from vpnportal.deployment import event_guard, summary_triggers
from vpnportal.fields import Sealed
from vpnportal.models import Account, Concentrator, Datacenter, Membership, Role, Subnet, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.web.tunnel import outcome_wait

# Before the tests import any of the functions.
as_gateway.install()


def connect_beside(**options: Any) -> psycopg.Connection:
    """Return a connection to the PostgreSQL of the tests, as another process has one."""
    parameters = connection.get_connection_params()
    names = ("dbname", "user", "host")
    return psycopg.connect(
        **({name: parameters[name] for name in names if name in parameters} | options)
    )


def empty_database() -> None:
    """Delete all rows, as of a new database. The triggers of events refuse that."""
    event_guard.drop_triggers(connection)
    call_command("flush", interactive=False)


@pytest.fixture(autouse=True)
def _keys(tmp_path_factory, settings):
    use_keys(settings, tmp_path_factory.mktemp("keys"))
    settings.GATEWAY_STATE = tmp_path_factory.mktemp("gateway")
    # A fast hash: the passwords of the tests protect nothing.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.HTTPS = settings.SECURE_SSL_REDIRECT = False
    settings.OPERATORS_NEED_SECOND_FACTOR = False
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    call_command("keys")


@pytest.fixture(autouse=True)
def _summaries_are_true(request):
    """Fail each test after which a summary is not what tunnels, revisions and releases say.

    So each test of a writer is also a test of the triggers.
    """
    fixtures = {"transactional_db", "db"} & {*request.fixturenames}
    if not fixtures and not request.node.get_closest_marker("django_db"):
        yield
        return
    # Set up before this fixture, and so removed after its check.
    request.getfixturevalue("_django_db_helper")
    yield
    if not connection.in_atomic_block:
        # Django deletes all rows after the test, which the triggers of events refuse.
        event_guard.drop_triggers(connection)
    if fixtures and not connection.needs_rollback:
        assert summary_triggers.is_installed(connection)
        assert summary_triggers.differing(connection) == 0


@pytest.fixture(autouse=True)
def _apply_without_waiting(monkeypatch):
    """Let Apply answer at once: these tests have no worker in another process."""
    monkeypatch.setattr(outcome_wait, "LONGEST_WAIT_SECONDS", 0)


@pytest.fixture(autouse=True)
def _empty_token_buckets():
    """Empty the token buckets of the API, which outlive a test."""
    authentication.CALLS.clear()
    authentication.WRONG_KEYS.clear()
    authentication.ACCEPTED_ADDRESSES.clear()


def member(account: Account, name: str, role: str) -> User:
    """Create a user with a role in an account."""
    person = User.objects.create_user(name, password="a password for the tests")
    Membership.objects.create(account=account, user=person, role=role)
    return person


@pytest.fixture
def account(db) -> Account:
    return Account.objects.create(name="Example account")


@pytest.fixture
def user(account) -> User:
    """Return a user who may change the account's tunnels."""
    return member(account, "ada", Role.OPERATOR)


@pytest.fixture
def bob(account) -> User:
    """Return a second user who may change the account's tunnels."""
    return member(account, "bob", Role.OPERATOR)


@pytest.fixture
def concentrator(db) -> Concentrator:
    houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
    return Concentrator.objects.create(
        name="hou02-vpn01", datacenter=houston, public_address="203.0.113.1"
    )


def hosted_peer(name: str) -> str:
    """Return 203.0.113.1 for ipsec001, as in the laboratory, and an address from .100 on else."""
    number = int(name.removeprefix("ipsec"))
    return f"203.0.113.{1 if number == 1 else 100 + number % 150}"


def make_tunnel(account: Account, concentrator: Concentrator, name: str, **subnets: str) -> Tunnel:
    """Create a tunnel with its subnets; the keywords are names of subnet kinds."""
    tunnel = Tunnel.objects.create(
        account=account, concentrator=concentrator, name=name, hosted_peer=hosted_peer(name)
    )
    for kind, network in subnets.items():
        tunnel.subnets.add(
            Subnet.objects.create(
                account=account, kind=Subnet.Kind[kind.upper()], network=IPv4Network(network)
            )
        )
    return tunnel


@pytest.fixture
def tunnel(account, concentrator) -> Tunnel:
    """Return a tunnel as the first-time data has it."""
    return make_tunnel(
        account, concentrator, "ipsec001", hosted="10.2.0.0/24", static_nat="10.1.255.92/30"
    )


@pytest.fixture
def gateway(monkeypatch):
    gateway = FakeGateway()
    monkeypatch.setattr(reconcile, "driver_for", lambda concentrator: gateway)
    return gateway


@pytest.fixture
def ready(tunnel: Tunnel, user) -> Tunnel:
    """Return the tunnel of the example, filled in and not applied."""
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    services.set_preshared_key(tunnel, "a key", user)
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    row = services.TranslationRow(
        IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
    )
    services.set_translations(tunnel, [row], user)
    return Tunnel.objects.get(pk=tunnel.pk)


@pytest.fixture
def second_tunnel(account, concentrator) -> Tunnel:
    """Another tunnel of the same account and concentrator, filled in."""
    tunnel = make_tunnel(
        account, concentrator, "ipsec002", hosted="10.3.0.0/24", customer="192.168.20.0/24"
    )
    tunnel.remote_peer = "203.0.113.3"
    tunnel.preshared_key = Sealed.of("second key", tunnel.preshared_key_context)
    tunnel.save()
    return tunnel


@pytest.fixture
def page(client, user):
    """Return the signed-in browser of `user`, without JavaScript."""
    client.force_login(user)
    return client


@pytest.fixture
def bobs_page(bob):
    """Return the signed-in browser of `bob`, without JavaScript."""
    client = Client()
    client.force_login(bob)
    return client


@pytest.fixture
def stranger(client, db):
    """Return the signed-in browser of a user of another account."""
    other = Account.objects.create(name="Another account")
    person = User.objects.create_user("eve", password="a password for the tests")
    Membership.objects.create(account=other, user=person, role=Role.OWNER)
    client.force_login(person)
    return client


@pytest.fixture
def viewer(client, account):
    """Return the signed-in browser of a user who may not change the tunnels."""
    person = User.objects.create_user("vic", password="a password for the tests")
    Membership.objects.create(account=account, user=person, role=Role.VIEWER)
    client.force_login(person)
    return client


@pytest.fixture
def program(user, account) -> Program:
    """Return a script with an API key of `user`."""
    return Program(user, account)


@pytest.fixture
def owner(account) -> User:
    """Return a user who may also order, cancel and reveal keys."""
    return member(account, "olga", Role.OWNER)


@pytest.fixture
def foreign(ready, owner, concentrator) -> dict[str, int]:
    """Return the ids of the rows of another account, beside the user's own with all its rows."""
    return make_another_account(concentrator)


@pytest.fixture
def owners_program(owner, account) -> Program:
    """Return a script with an API key of `owner`."""
    return Program(owner, account)
