"""Networks, disks, power and services fail on one machine after the other, under ping at 10/s."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.html import words
from tests.machines.installation import Installation
from tests.machines.machine import Machine
from tests.machines.outages import cut, full_disk, note
from tests.machines.pages import Page, Pages
from tests.running_portal import wait_for
from tests.system.pings import pinging_with

UP, UNKNOWN = "Up", "Unknown"
# A transaction that holds the tunnel's row until the input ends, as that of a worker does for a
# moment.
LOCK = """
import sys
from django.db import transaction
from vpnportal.models import Tunnel
from vpnportal.models.row_locks import lock_tunnels
with transaction.atomic():
    lock_tunnels(Tunnel.objects.all())
    print("locked", flush=True)
    sys.stdin.read()
"""
# More write-ahead log than PostgreSQL has files for. It ends when it can make no other.
WRITE_AHEAD = (
    *("runuser", "-u", "postgres", "--", "psql", "--no-align", "--tuples-only", "-c"),
    "SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1 << 20)))"
    " FROM generate_series(1, 500)",
)


@pytest.fixture(scope="module")
def pages(installed: Installation) -> Pages:
    """Return the pages, with the example applied and its packets passing."""
    wait_for(lambda: installed.online() == {gateway.name for gateway in installed.gateways}, 60)
    assert installed.apply() == "live"
    wait_for(installed.ping, 60)
    return Pages(installed.portal)


@pytest.fixture(autouse=True)
def no_unit_ends(installed: Installation, pages: Pages) -> Iterator[None]:
    """Let a test fail if a service of the portal, or charon, ended: each waits inside."""
    before = restarts(installed)
    yield
    after = restarts(installed)
    assert {unit: count for unit, count in after.items() if count > before.get(unit, 0)} == {}


def restarts(installed: Installation) -> dict[tuple[str, str], int]:
    """Return how often systemd had to start each unit again, by machine and unit."""
    counts = {}
    show = ("systemctl", "show", "--property", "Id,NRestarts", "vpnportal-*", "strongswan.service")
    for machine in installed.machines:
        for block in machine.run(*show).strip().split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines())
            counts[machine.name, values["Id"]] = int(values.get("NRestarts", "0"))
    return counts


def pinging(installed: Installation):
    """Ping the customer's computer from the server ten times a second during the block."""
    return pinging_with(installed.site.on_host("server"), 0.1)


def doctor(machine: Machine, *checks: str) -> dict[str, str]:
    """Return the red findings of doctor on a machine, by check."""
    command = ("vpnportal", "doctor", "--json", "--only", *checks)
    found = json.loads(machine.run(*command, check=False))
    return {each["name"]: each["found"] for each in found if each["state"] == "red"}


@contextmanager
def locking_the_tunnel(gateway: Machine) -> Iterator[None]:
    """Hold the lock of the tunnel's row from a gateway during the block."""
    shell = gateway.command("vpnportal", "shell", "--verbosity", "0", "-c", LOCK)
    process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "locked\n"
        yield
    finally:
        process.communicate(timeout=60)


def announced(page: Page) -> str:
    """Return the sentence of the page about the request before it."""
    assert page.status == 200, page
    return words(page, "live")


def test_a_gateway_without_the_portal_carries_on_and_then_takes_the_apply(installed, pages):
    portal, (gateway, other) = installed.portal, installed.gateways
    states = set()

    def state() -> str:
        states.add(shown := pages.state())
        return shown

    with pinging(installed) as pings, locking_the_tunnel(gateway):
        with cut(installed.site, portal, gateway):
            wait_for(lambda: state() == UNKNOWN, 30)
            with ThreadPoolExecutor() as pool:
                on_gateway = pool.submit(doctor, gateway, "database", "broker")
                on_portal = pool.submit(doctor, portal, "reports")
                said = announced(pages.apply())
            assert states == {UP, UNKNOWN}
            assert installed.online() == {other.name}
        back = wait_for(lambda: state() == UP, 5)

    note(f"network cut: portal, {gateway.name}", pings, back)
    assert pings.gap_seconds == 0
    assert f"It is applied when {gateway.name} responds." in said
    assert "Down" not in states
    assert set(on_gateway.result()) == {"database", "broker"}
    assert "does not answer" in on_gateway.result()["database"]
    assert "does not answer" in on_gateway.result()["broker"]
    assert (
        "Its monitor does not run, or cannot reach" in on_portal.result()[f"reports/{gateway.name}"]
    )


def test_a_gateway_that_nobody_reaches_does_not_disturb_another_with_a_full_disk(installed, pages):
    portal, (gateway, other) = installed.portal, installed.gateways
    site = installed.site
    with pinging(installed) as pings:
        with cut(site, portal, other), cut(site, gateway, other):
            with full_disk(gateway):
                assert installed.apply() == "live"
                found = doctor(gateway, "disk", "stored_tunnels", "applied_state", "units")
            wait_for(lambda: installed.online() == {gateway.name}, 30)
            # The full converge of each minute stores it.
            wait_for(lambda: not doctor(gateway, "stored_tunnels"), 60)
        back = wait_for(lambda: other.name in installed.online(), 10)

    note(f"network cut: {other.name}, portal and {gateway.name}", pings, back)
    note(f"full disk: {gateway.name}", pings)
    assert pings.gap_seconds == 0
    assert found.keys() == {"disk/state", "disk/log", "stored_tunnels"}
    assert "has 0 % (0.0 GB)" in found["disk/state"]
    assert "The applied revision is not stored of 1: ctx1." in found["stored_tunnels"]


def test_a_tunnel_is_back_by_itself_after_the_network_to_the_customer_was_cut(installed, pages):
    gateway, device = installed.gateways[0], installed.device

    with pinging(installed) as pings, cut(installed.site, gateway, device):
        wait_for(lambda: not installed.ping(), 10)
        wait_for(lambda: not installed.ping(), 10)
    short = wait_for(installed.ping, 15)
    note(f"network cut: {gateway.name}, device, for seconds", pings, short)
    assert pings.lost > 0

    with pinging(installed) as pings:
        with cut(installed.site, gateway, device):
            # Dead peer detection takes three intervals of 15 s.
            wait_for(lambda: pages.state() not in (UP, UNKNOWN), 90)
        back = wait_for(installed.ping, 60)
    note(f"network cut: {gateway.name}, device, until the tunnel is down", pings, back)
    wait_for(lambda: pages.state() == UP, 15)


def test_a_portal_with_a_full_disk_refuses_an_apply_and_heals_when_there_is_space(installed, pages):
    portal, device, other = installed.portal, installed.device, installed.gateways[1]

    def database_starts() -> int:
        show = ("systemctl", "show", "--property", "NRestarts", "--value", "postgresql@*")
        return int(portal.run(*show))

    before = database_starts()
    with pinging(installed) as pings:
        with full_disk(portal), full_disk(device), full_disk(other):
            # It ends PostgreSQL.
            portal.run(*WRITE_AHEAD, check=False)
            # As many inputs as a table of translations has.
            refused = pages.apply(more="x" * 200_000)
            found = doctor(portal, "database", "disk")
            wait_for(lambda: database_starts() > before, 15)
        back = wait_for(lambda: pages.apply().status == 200, 15)
        back += wait_for(lambda: pages.state() == UP, 15)
        wait_for(lambda: len(installed.online()) == 2, 30)

    note(f"full disk: portal, {other.name}, device", pings, back)
    assert pings.gap_seconds == 0
    assert refused.status == 503
    assert "cannot read or write its database" in refused.content.decode()
    assert found.keys() == {"database", "disk/state", "disk/log", "disk/database"}
    assert "has 0 % (0.0 GB)" in found["disk/database"]
    assert "0 loaded units" in portal.run("systemctl", "--failed")


@pytest.mark.parametrize("service", ["postgresql", "redis-server@vpnportal"])
def test_a_restart_of_database_or_broker_loses_no_ping_and_no_apply(installed, pages, service):
    portal = installed.portal
    with pinging(installed) as pings:
        portal.run("systemctl", "stop", service)
        answer = pages.apply()
        portal.run("systemctl", "start", service)
        if answer.status == 503:
            wait_for(lambda: pages.apply().status == 200, 5)
        back = wait_for(lambda: pages.state() == UP, 5)

    note(f"restart: {service}", pings, back)
    assert pings.gap_seconds == 0
    assert answer.status == (503 if service == "postgresql" else 200)


def test_a_gateway_that_boots_without_the_portal_carries_from_its_own_full_disk(installed, pages):
    portal, gateway = installed.portal, installed.gateways[0]
    portal.halt()
    with pinging(installed) as pings, full_disk(gateway):
        gateway.halt()
        assert gateway.up() == "running", gateway.run("systemctl", "--failed")
        back = wait_for(installed.ping, 30)
    portal.up()

    note(f"power cycle: {gateway.name}, with the portal off and a full disk", pings, back)
    assert pings.lost > 0
    wait_for(lambda: len(installed.online()) == 2, 60)
    assert installed.apply() == "live"
