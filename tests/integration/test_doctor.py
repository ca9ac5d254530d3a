"""`manage.py doctor` finds each planted fault with its sentence, and a healthy machine is green."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from tests.doctor import PRESHARED_KEY, InlineThread, NoConnections, examine, put_program, states
from tests.fake_gateway import FakeGateway
from tests.key_folder import use_keys_of_gateway
from tests.redis_server import TlsRedis
from tests.running_portal import ROOT
from vpnportal import encryption, services
from vpnportal.deployment.broker_access import PORTAL_USER, gateway_user
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.gateway.requirements import all_requirements, ipsec, sysctls
from vpnportal.gateway.requirements.findings import met
from vpnportal.management.doctor import (
    broker,
    checks,
    concentrators,
    configuration,
    database,
    gateway,
    machine,
)
from vpnportal.models import AddressPool, Concentrator, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.local_target import _local_target, local_target

NAME = "hou02-vpn01"
# Yellow on a machine without systemd, which runs the tests.
NO_SYSTEMD = {"units": "unknown: this machine is not run by systemd."}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("redis"), NAME) as running:
        yield running


@pytest.fixture(autouse=True)
def _machine(server, tmp_path, settings, monkeypatch):
    """Let the settings be those of an installed portal, with a fresh backup and an empty queue."""
    settings.STATE, settings.BACKUPS = tmp_path / "state", tmp_path / "backups"
    settings.MACHINE, settings.CONCENTRATOR = "portal", ""
    settings.SECURE_SSL_REDIRECT = True
    settings.CELERY_BROKER_URL = server.url(PORTAL_USER)
    settings.CELERY_BROKER_USE_SSL = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(server.authority),
    }
    settings.BACKUPS.mkdir()
    (settings.BACKUPS / "2026-12-01.tar").touch()
    monkeypatch.setattr(configuration, "CONFIGURATION", tmp_path / "etc")
    monkeypatch.setattr(machine, "SYSTEMD", tmp_path / "no systemd")
    # The disk of the machine that runs the tests is not theirs.
    monkeypatch.setattr(machine, "DISK_WARNING_PERCENT", 0)
    monkeypatch.setattr(machine, "DISK_ERROR_PERCENT", 0)
    monkeypatch.setattr(gateway, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(broker, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(concentrators, "LOOK_AGAIN_SECONDS", 0)
    server.client(PORTAL_USER).delete(f"concentrator.{NAME}")


@pytest.fixture
def inline(monkeypatch):
    """Run checks in the thread of the test, whose transaction no other thread sees."""
    monkeypatch.setattr(checks, "Thread", InlineThread)
    monkeypatch.setattr(checks, "connections", NoConnections)


@pytest.fixture
def live(ready: Tunnel, user, gateway, server) -> Tunnel:
    """Return a tunnel whose revision is live on a gateway that reports."""
    services.set_preshared_key(ready, PRESHARED_KEY, user)
    revision = services.apply(Tunnel.objects.get(pk=ready.pk), user)
    reconcile.converge(ready.concentrator_id)
    revision.refresh_from_db()
    assert revision.outcome == "live"
    Concentrator.objects.update(seen_at=timezone.now(), release=settings.VERSION)
    # No worker takes the message of the apply.
    server.client(PORTAL_USER).delete(f"concentrator.{NAME}")
    return ready


@pytest.fixture
def healthy(inline, live) -> Tunnel:
    return live


def first_file():
    return next(iter(local_target(NAME).newest_files().values()))


def execute(query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query)


def minutes_ago(minutes: float):
    return timezone.now() - timedelta(minutes=minutes)


def send(server: TlsRedis, **headers: str) -> None:
    message = json.dumps({"body": "", "headers": headers, "properties": {}})
    server.client(PORTAL_USER).lpush(f"concentrator.{NAME}", message)


def no_database(patch) -> None:
    def away() -> None:
        raise OperationalError("connection to 10.77.0.10 refused")

    patch.setattr(database, "connection", SimpleNamespace(cursor=away, vendor="postgresql"))


def shown_by_postgres(**values: str) -> Callable:
    """Return the fault that PostgreSQL shows other values of its settings."""
    real = database._value

    def plant(plan) -> None:
        def value(query: str) -> object:
            return values.get(query.removeprefix("SHOW "), real(query))

        plan.patch.setattr(database, "_value", value)

    return plant


def clock_off_by(seconds: float) -> Callable:
    def plant(plan) -> None:
        class OtherClock(machine.datetime):
            @classmethod
            def now(cls, tz=None):
                return super().now(tz) + timedelta(seconds=seconds)

        plan.patch.setattr(machine, "datetime", OtherClock)

    return plant


def other_seal_key(plan) -> None:
    settings.SEAL_KEY_FILE.write_text(encryption.new_key() + "\n")
    encryption.forget_keys()


def make_private(file: Path) -> None:
    file.write_text(encryption.new_key() + "\n")
    file.chmod(0o600)
    encryption.forget_keys()


def other_gateway_key(plan, keep: bool = False) -> None:
    file = settings.GATEWAY_KEY_FILE
    file.write_text(encryption.new_key() + "\n" + file.read_text() * keep)
    encryption.forget_keys()


def exchanged_row(plan) -> None:
    revision = Revision.objects.get()
    Tunnel.objects.update(preshared_key=revision.specification)


def unapplied_migration(plan) -> None:
    newest = MigrationLoader(connection).graph.leaf_nodes("vpnportal")[0]
    MigrationRecorder(connection).record_unapplied(*newest)


def newer_migration(plan) -> None:
    MigrationRecorder(connection).record_applied("vpnportal", "9999_later")


def wrong_password(plan) -> None:
    url = settings.CELERY_BROKER_URL
    password = plan.server.passwords[PORTAL_USER]
    plan.settings.CELERY_BROKER_URL = url.replace(password, "canary-wrong-password")


def unfinished(seconds: float) -> Callable:
    def plant(plan) -> None:
        moment = timezone.now() - timedelta(seconds=seconds)
        Revision.objects.update(outcome="queued", created_at=moment)

    return plant


def reported(**values: object) -> Callable:
    return lambda plan: Concentrator.objects.update(**values)


def minutes_after(column: str, minutes: float) -> Callable:
    """Return the fault that a column has been written this long ago."""
    return lambda plan: Concentrator.objects.update(**{column: minutes_ago(minutes)})


def pools(**networks: str) -> Callable:
    def plant(plan) -> None:
        for kind, network in networks.items():
            Concentrator.objects.get().pools.create(
                kind=AddressPool.Kind[kind], network=IPv4Network(network)
            )

    return plant


def reports_with_clock_off_by(seconds: float) -> Callable:
    """Return the fault that the monitor reports with another time while `doctor` looks again."""

    def report(_=0) -> None:
        seen_at = timezone.now() + timedelta(seconds=seconds)
        Concentrator.objects.update(seen_at=seen_at)

    def plant(plan) -> None:
        report()
        plan.patch.setattr(concentrators, "time", SimpleNamespace(sleep=report))

    return plant


PORTAL_FAULTS = {
    "clock of a gateway behind": (
        reports_with_clock_off_by(-60),
        f"reports/{NAME}",
        "red",
        "It reports, but its clock is 6",
    ),
    "clock of a gateway ahead": (
        reports_with_clock_off_by(330),
        f"reports/{NAME}",
        "red",
        "It reports, but its clock is 5 minutes ahead of that of the portal.",
    ),
    "clock of a gateway somewhat ahead": (
        reports_with_clock_off_by(8),
        f"reports/{NAME}",
        "yellow",
        " s ahead of that of the portal.",
    ),
    "certificate of a gateway not renewed": (
        reported(certificate_until=timezone.now() + timedelta(10)),
        f"gateway_certificates/{NAME}",
        "yellow",
        "It was not renewed in time.",
    ),
    "certificate of a gateway ended": (
        reported(certificate_until=timezone.now() - timedelta(1)),
        f"gateway_certificates/{NAME}",
        "red",
        "It has ended.",
    ),
    "pool nearly used up": (
        # 10.1.255.92/30 is the subnet of the tunnel.
        pools(HOSTED_PEER="203.0.113.16/28", STATIC_NAT="10.1.255.92/30"),
        f"pools/{NAME}/static-nat",
        "red",
        "Free static NAT subnets: 0 of 1. Orders are refused.",
    ),
    "no pool of one kind": (
        pools(STATIC_NAT="10.1.250.0/24"),
        f"pools/{NAME}/hosted-peer",
        "red",
        "Free hosted peer addresses: 0 of 0.",
    ),
    "HTTPS is off": (
        lambda plan: setattr(plan.settings, "SECURE_SSL_REDIRECT", False),
        "settings/security.W008",
        "yellow",
        "SECURE_SSL_REDIRECT setting is not set to True",
    ),
    "debugging": (
        lambda plan: setattr(plan.settings, "DEBUG", True),
        "settings/security.W018",
        "yellow",
        "You should not have DEBUG set to True in deployment",
    ),
    "no database": (
        lambda plan: no_database(plan.patch),
        "database",
        "red",
        "It does not answer: connection to 10.77.0.10 refused",
    ),
    "jit": (
        lambda plan: execute("SET jit = on"),
        "database_settings/jit",
        "yellow",
        "jit is on: compiling takes 37 ms",
    ),
    "encoding": (
        shown_by_postgres(server_encoding="SQL_ASCII"),
        "database_settings/encoding",
        "red",
        "The encoding of the database is SQL_ASCII",
    ),
    "old PostgreSQL": (
        shown_by_postgres(server_version_num="140011"),
        "database_settings/version",
        "red",
        "needs PostgreSQL 15 or newer, and this is 14.",
    ),
    "older schema": (unapplied_migration, "schema", "red", "The database is older than this"),
    "newer schema": (newer_migration, "schema", "yellow", "it has vpnportal.9999_later."),
    "lost key": (
        other_seal_key,
        "seals",
        "red",
        "2 of 2 sealed values do not open, such as tunnel",
    ),
    "exchanged row": (
        exchanged_row,
        "seals",
        "red",
        "1 of 2 sealed values do not open, such as tunnel",
    ),
    "gateway without a key": (
        lambda plan: Concentrator.objects.update(envelope_key=""),
        f"envelopes/{NAME}",
        "yellow",
        "The portal seals with its own key alone",
    ),
    "sealed for another gateway": (
        lambda plan: Concentrator.objects.update(envelope_key=new_gateway_key()[1]),
        f"envelopes/{NAME}",
        "red",
        "1 of 1 revisions are not sealed for its gateway's key.",
    ),
    "too many threads": (
        lambda plan: setattr(plan.settings, "WEB_THREADS", 60),
        "connections",
        "red",
        "The estimate of the most is 126: 2 web processes with 60 threads",
    ),
    "many threads": (
        lambda plan: setattr(plan.settings, "WEB_THREADS", 40),
        "connections",
        "yellow",
        "97 connections are usable",
    ),
    "wrong password": (wrong_password, "broker", "red", "refuses the user and password"),
    "no broker": (
        lambda plan: setattr(
            plan.settings, "CELERY_BROKER_URL", "rediss://portal:canary-password@localhost:1/0"
        ),
        "broker",
        "red",
        "It does not answer: ",
    ),
    "a gateway's user": (
        lambda plan: setattr(
            plan.settings, "CELERY_BROKER_URL", plan.server.url(gateway_user(NAME))
        ),
        "broker_rights",
        "red",
        "Redis refuses portal what it needs: LRANGE",
    ),
    "no worker": (
        lambda plan: send(plan.server, expires=minutes_ago(9).isoformat()),
        f"queues/{NAME}",
        "red",
        "1 message, of which the oldest has waited 10 minutes or longer.",
    ),
    "slow worker": (
        lambda plan: send(plan.server, expires=minutes_ago(1).isoformat()),
        f"queues/{NAME}",
        "yellow",
        "the oldest has waited 2 minutes or longer.",
    ),
    "message without a time": (
        lambda plan: send(plan.server),
        f"queues/{NAME}",
        "yellow",
        "unknown: 1 message, and none tells its age.",
    ),
    "never reported": (reported(seen_at=None), f"reports/{NAME}", "yellow", "has never reported"),
    "silent monitor": (
        minutes_after("seen_at", 30),
        f"reports/{NAME}",
        "red",
        "Its last good report came 30 minutes ago. Its monitor does not run",
    ),
    "dead charon": (
        reported(unreachable_reason="charon is not running."),
        f"reports/{NAME}",
        "red",
        "charon is not running.",
    ),
    "no converge": (reported(converged_at=None), f"converges/{NAME}", "yellow", "is recorded"),
    "late converge": (
        minutes_after("converged_at", 5),
        f"converges/{NAME}",
        "yellow",
        "Its last full converge ended 5 minutes ago.",
    ),
    "dead worker": (
        minutes_after("converged_at", 60),
        f"converges/{NAME}",
        "red",
        "Its last full converge ended 60 minutes ago.",
    ),
    "slow apply": (
        unfinished(70),
        "revisions",
        "yellow",
        f"1 revision waits for an outcome: ipsec001 revision 1 at {NAME} (7",
    ),
    "lost apply": (unfinished(200), "revisions", "red", f"revision 1 at {NAME} (3 minutes)."),
    "no release": (reported(release=""), f"releases/{NAME}", "yellow", "reported no release"),
    "old gateway": (
        reported(release="0.9.12"),
        f"releases/{NAME}",
        "yellow",
        "It has the release 0.9.12, and the portal has",
    ),
    "new gateway": (
        reported(release="99.0.0"),
        f"releases/{NAME}",
        "red",
        "It has the release 99.0.0, and the portal has",
    ),
    "clock ahead": (clock_off_by(60), "clock/database", "red", "s ahead of that of the database."),
    "clock behind": (clock_off_by(-5), "clock/broker", "yellow", "s behind that of the broker."),
    "no backup": (
        lambda plan: (settings.BACKUPS / "2026-12-01.tar").unlink(),
        "backup",
        "yellow",
        "There is no backup in",
    ),
}
OF_POSTGRES = {"jit", "encoding", "old PostgreSQL", "too many threads", "many threads"}
OF_POSTGRES |= {"clock ahead"}


def assert_found(plan, plant, name, state, text) -> None:
    """Assert that a check is green, and no more once the fault is planted."""
    check = name.partition("/")[0]
    status, before = examine(check)
    assert (status, set(states(before).values())) == (0, {"green"}), before

    plant(plan)
    status, after = examine(check)

    found = {finding["name"]: finding for finding in after}
    assert name in found, after
    assert (found[name]["state"], text in found[name]["found"]) == (state, True), found[name]
    assert found[name]["advice"]
    assert status == {"yellow": 1, "red": 2}[state]


@pytest.mark.parametrize("fault", PORTAL_FAULTS)
def test_a_fault_of_a_portal_is_found(healthy, fault, server, settings, monkeypatch, request):
    if fault in OF_POSTGRES and connection.vendor != "postgresql":
        pytest.skip("PostgreSQL only")
    plan = SimpleNamespace(patch=monkeypatch, server=server, settings=settings)
    assert_found(plan, *PORTAL_FAULTS[fault])


def test_a_red_database_makes_what_needs_it_unknown_and_not_green(healthy, monkeypatch):
    no_database(monkeypatch)

    _, findings = examine("seals", "reports", "queues")

    assert {finding["state"] for finding in findings} == {"yellow"}
    assert {finding["found"] for finding in findings} == {"unknown: it needs the check database."}


@pytest.mark.postgresql
def test_the_connections_of_other_roles_are_counted_too(healthy):
    other = connection.copy()
    other.ensure_connection()
    try:
        execute("CREATE ROLE lesser; GRANT SELECT ON ALL TABLES IN SCHEMA public TO lesser")
        execute("SET LOCAL ROLE lesser")
        _, (finding,) = examine("connections")
        execute("RESET ROLE")
    finally:
        other.close()

    assert int(re.search(r", (\d+) are in use", finding["found"])[1]) >= 2


def test_silent_servers_delay_the_command_for_seconds_only(server):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        environment = {
            **os.environ,
            "VPNPORTAL_DATABASE_URL": f"postgresql://portal:canary-of-database@{address}/x",
            "VPNPORTAL_BROKER": f"rediss://portal:canary-of-broker@{address}/0",
            "VPNPORTAL_BROKER_CA": str(server.authority),
        }
        command = [sys.executable, "manage.py", "doctor", "--only", "broker", "database", "seals"]
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)

    assert time.monotonic() - began < 60
    assert done.returncode == 2, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines() if line[0] != " "] == [
        ["red", "database:"],
        ["yellow", "seals:"],
        ["red", "broker:"],
    ]
    assert "canary" not in done.stdout + done.stderr


def test_the_values_of_each_line_of_the_seal_key_are_counted(healthy, user):
    old = settings.SEAL_KEY_FILE.read_text()
    settings.SEAL_KEY_FILE.write_text(f"{encryption.new_key()}\n{old}{encryption.new_key()}\n")
    encryption.forget_keys()
    services.set_preshared_key(Tunnel.objects.get(), f"{PRESHARED_KEY} of today", user)

    status, findings = examine("seals")

    first, second, third = (finding["found"] for finding in findings[1:])
    assert status == 0
    assert first.startswith("1 value needs the key ")
    assert first.endswith("It seals new values.")
    # The live revision has the old preshared key.
    assert second.startswith("1 value needs the key ")
    assert third.startswith("0 values need the key ")
    assert "`vpnportal keys retire` removes it" in third


@pytest.fixture
def at_gateway(healthy, server, settings, monkeypatch, tmp_path) -> FakeGateway:
    """Let this machine be the gateway of the tunnel, whose own requirements are met."""
    settings.MACHINE, settings.CONCENTRATOR = "gateway", NAME
    settings.CELERY_BROKER_URL = server.url(gateway_user(NAME))
    use_keys_of_gateway(settings, NAME)
    monkeypatch.setattr(all_requirements, "check", lambda *_: iter([met("forwarding", "It does.")]))
    charon = ipsec.Charon(version="5.9.8")
    monkeypatch.setattr(ipsec.Charon, "read", classmethod(lambda cls, socket: charon))
    policy = "charon-systemd:\n  Installed: 5.9.8-5\n  Candidate: 5.9.8-5\n"
    put_program(tmp_path / "bin", "apt-cache", f"cat <<'END'\n{policy}END", monkeypatch)
    return reconcile.driver_for(NAME)


def full_flow_table(plan) -> None:
    values = {"count": 230_000, "max": 262_144}
    plan.patch.setattr(sysctls, "read_sysctl", lambda name: values[name.rpartition("_")[2]])
    plan.patch.setattr(all_requirements, "check", lambda *_: iter([sysctls.conntrack_size()]))


def older_file(plan) -> None:
    file = first_file()
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"revision_id": content["revision_id"] - 1}))


def other_name(plan) -> None:
    plan.settings.CONCENTRATOR = "hou02-vpn09"
    plan.settings.CELERY_BROKER_URL = plan.server.url(gateway_user(NAME))


GATEWAY_FAULTS = {
    "lost translation": (
        lambda plan: plan.gateway.elements.clear(),
        "applied_state",
        "red",
        "A converge would add the translation ",
    ),
    "unloaded connection": (
        lambda plan: plan.gateway.connections.clear(),
        "applied_state",
        "red",
        "A converge would load the connection ctx",
    ),
    "changed rules": (
        lambda plan: setattr(plan.gateway, "rules_current", False),
        "applied_state",
        "red",
        "A converge would write the rules.",
    ),
    "dead charon": (
        lambda plan: setattr(plan.gateway, "unreachable", "charon is not running."),
        "applied_state",
        "yellow",
        "unknown: charon is not running.",
    ),
    "no file": (
        lambda plan: first_file().unlink(),
        "stored_tunnels",
        "red",
        "The applied revision is not stored of 1: ctx",
    ),
    "older file": (
        older_file,
        "stored_tunnels",
        "red",
        "The applied revision is not stored of 1: ctx",
    ),
    "no folder": (
        lambda plan: plan.patch.setattr(settings, "GATEWAY_STATE", settings.STATE / "none"),
        "stored_tunnels",
        "red",
        "after a restart this gateway waits for the portal.",
    ),
    "readable file": (
        lambda plan: first_file().chmod(0o644),
        "stored_tunnels",
        "red",
        "has the mode 0644",
    ),
    "cut file": (
        lambda plan: os.truncate(first_file(), 40),
        "stored_tunnels",
        "red",
        "1 unusable: ",
    ),
    "other key": (other_gateway_key, "stored_tunnels", "red", "does not open with this gateway's"),
    "lost key": (
        lambda plan: (settings.GATEWAY_KEY_FILE.unlink(), encryption.forget_keys()),
        "keys/gateway.key",
        "red",
        "There is no key file",
    ),
    "a key of the portal": (
        lambda plan: make_private(settings.SEAL_KEY_FILE),
        "keys/seal.key",
        "yellow",
        "it opens the secrets of all gateways",
    ),
    "unknown to the portal": (
        lambda plan: Concentrator.objects.update(envelope_key=""),
        "envelopes/key",
        "yellow",
        "The portal seals with its own key alone",
    ),
    "replaced key": (
        other_gateway_key,
        "envelopes/key",
        "red",
        "The portal seals for a key that gateway.key does not have.",
    ),
    "earlier key": (
        lambda plan: other_gateway_key(plan, keep=True),
        "envelopes/key",
        "yellow",
        "The portal seals for an earlier line of gateway.key.",
    ),
    "unreadable revision": (
        other_gateway_key,
        "envelopes/revisions",
        "red",
        "1 revisions do not open with the keys here",
    ),
    "full flow table": (
        full_flow_table,
        "requirements/conntrack",
        "red",
        "The table of flows holds 230000 of 262144",
    ),
    "unknown name": (
        other_name,
        "concentrator",
        "red",
        f"The database has no concentrator hou02-vpn09; it has {NAME}.",
    ),
    "newer schema": (newer_migration, "schema", "yellow", "it has vpnportal.9999_later."),
    "the portal's user": (
        lambda plan: setattr(plan.settings, "CELERY_BROKER_URL", plan.server.url(PORTAL_USER)),
        "broker_rights",
        "yellow",
        f"Redis allows gw_{NAME} more than it needs: LRANGE concentrator.OTHER 0 0",
    ),
    "clock": (clock_off_by(60), "clock/broker", "red", "s ahead of that of the broker."),
}


@pytest.mark.parametrize("fault", GATEWAY_FAULTS)
def test_a_fault_of_a_gateway_is_found(at_gateway, fault, server, settings, monkeypatch):
    plan = SimpleNamespace(patch=monkeypatch, server=server, settings=settings, gateway=at_gateway)
    assert_found(plan, *GATEWAY_FAULTS[fault])


def test_a_line_of_gateway_key_is_needed_until_no_revision_and_no_file_has_its_key(at_gateway):
    other_gateway_key(None, keep=True)
    _, findings = examine("envelopes")
    found = {finding["name"]: finding["found"] for finding in findings}
    assert found["envelopes/line 1"].startswith("0 revisions and files need the key ")
    assert found["envelopes/line 2"].startswith("2 revisions and files need the key ")
    assert "Remove" not in found["envelopes/line 2"]

    current = encryption.gateway_public_keys()[0]
    Revision.objects.all().delete()
    first_file().unlink()
    Concentrator.objects.update(envelope_key=current)
    _, findings = examine("envelopes")

    assert states(findings)["envelopes/key"] == "green"
    assert "Remove the line" in findings[-1]["found"]


def test_a_gateway_without_a_name_is_red_and_what_needs_the_name_is_not_green(at_gateway, settings):
    settings.CONCENTRATOR = ""

    status, findings = examine(
        "concentrator", "applied_state", "stored_tunnels", "broker_rights", "units"
    )

    assert status == 2
    found = states(findings)
    assert found.pop("concentrator") == "red"
    assert (set(found.values()), len(found)) == ({"yellow"}, 4)
    assert "`vpnportal` takes the name from it." in findings[0]["advice"]


def test_the_advice_about_a_lost_file_brings_it_back(at_gateway, live):
    file = first_file()
    file.unlink()
    _, (finding,) = examine("stored_tunnels")
    assert f"systemctl restart vpnportal-worker@{NAME} writes what is missing." in finding["advice"]

    # A worker that was not restarted does not notice.
    reconcile.converge(live.concentrator_id)
    assert examine("stored_tunnels")[0] == 2
    _local_target.cache_clear()
    reconcile.converge(live.concentrator_id)

    assert examine("stored_tunnels")[0] == 0


def test_a_list_of_steps_has_ten_names_and_a_number(healthy, live, user, request):
    rows = [
        services.TranslationRow(IPv4Address(f"10.1.255.{n}"), IPv4Address(f"192.168.10.{n}"), "")
        for n in range(92, 96)
    ]
    services.set_translations(live, rows, user)
    services.add_remote_subnet(live, IPv4Network("192.168.11.0/24"), user)
    services.apply(Tunnel.objects.get(pk=live.pk), user)
    reconcile.converge(live.concentrator_id)
    request.getfixturevalue("at_gateway").elements.clear()

    _, (finding,) = examine("applied_state")

    assert finding["found"].count("translation") == 10
    assert finding["found"].endswith("more.")


def test_looking_changes_nothing(at_gateway, live):
    at_gateway.connections.clear()
    _local_target.cache_clear()
    files = {file: file.read_text() for file in local_target(NAME).newest_files().values()}
    plans, rows = list(at_gateway.plans), list(Revision.objects.values())

    examine()

    assert (at_gateway.plans, at_gateway.connections) == (plans, {})
    assert list(Revision.objects.values()) == rows
    assert {file: file.read_text() for file in local_target(NAME).newest_files().values()} == files


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_a_healthy_portal_is_green_within_seconds_except_for_listed_reasons(live):
    began = time.monotonic()
    status, findings = examine()

    wrong = {entry["name"]: entry["found"] for entry in findings if entry["state"] != "green"}
    assert wrong == NO_SYSTEMD
    assert (status, len(findings) > 20) == (1, True)
    assert {entry["machine"] for entry in findings} == {"portal"}
    assert not [entry for entry in findings if entry["state"] == "green" and entry["advice"]]
    assert time.monotonic() - began < 60


@pytest.mark.django_db(transaction=True)
def test_a_healthy_gateway_is_green_except_for_listed_reasons(live, at_gateway):
    status, findings = examine()

    wrong = {entry["name"]: entry["found"] for entry in findings if entry["state"] != "green"}
    assert wrong == NO_SYSTEMD
    assert (status, {entry["machine"] for entry in findings}) == (1, {"gateway"})


def test_a_machine_with_both_roles_gets_the_checks_of_both(healthy, at_gateway, settings):
    settings.MACHINE = ""

    _, findings = examine()

    roles = {entry["name"]: entry["machine"] for entry in findings}
    assert (roles["seals"], roles["applied_state"]) == ("portal", "gateway")
