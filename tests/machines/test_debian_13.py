"""A portal, a gateway and a customer's device on machines with Debian 13."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.machines.debian import root_file_system
from tests.machines.exposure import MAX_EXPOSURE, exposures
from tests.machines.installation import Installation
from tests.machines.packages import build, clone
from tests.machines.site import Site
from tests.machines.upgrading import (
    LATER,
    broken,
    charon,
    later_release,
    upgrade,
    version_of,
    wait_until_all_are_online,
)
from tests.running_portal import wait_for
from tests.system.pings import pinging_with

Packages = tuple[Future[list[Path]], Future[list[Path]]]


@pytest.fixture(scope="module")
def packages(system, tmp_path_factory) -> Iterator[Packages]:
    """Yield the packages of this commit and of a later release, which are built meanwhile."""
    folder = tmp_path_factory.mktemp("packages")
    checkouts = clone(folder / "checkout"), later_release(folder / "later")
    with ThreadPoolExecutor() as pool:
        this, later = (
            pool.submit(build, checkout, folder / f"{checkout.name}-packages", debian=13)
            for checkout in checkouts
        )
        yield this, later


@pytest.fixture(scope="module")
def trixie(packages, tmp_path_factory) -> Iterator[Installation]:
    """Yield an installation on Debian 13, with the example entered and not applied."""
    site = Site()
    try:
        folder = tmp_path_factory.mktemp("debian-13")
        installation = Installation(site, root_file_system(13), folder, gateways=1)
        installation.boot()
        installation.bring(packages[0].result())
        installation.install()
        installation.fill_in()
        yield installation
    finally:
        site.close()


def test_the_example_is_pinged_through_a_tunnel_of_debian_13(trixie):
    assert not trixie.ping()

    assert trixie.apply() == "live"

    wait_for(trixie.ping, 15)
    gateway = trixie.gateways[0]
    for machine in trixie.machines:
        assert 'VERSION_ID="13"' in machine.run("cat", "/etc/os-release")
        assert "0 loaded units listed" in machine.run("systemctl", "--failed"), machine.name
    assert " 6." in gateway.run("swanctl", "--version")
    assert trixie.portal.run("pg_lsclusters", "--no-header").startswith("17 ")
    assert "v=8." in trixie.portal.run("redis-server", "--version")


def test_each_unit_is_confined_on_debian_13(trixie):
    found = exposures(trixie.portal, trixie.gateways[0])

    print(found)
    assert found.keys() == MAX_EXPOSURE.keys()
    assert {unit for unit, value in found.items() if value > MAX_EXPOSURE[unit]} == set()


def test_the_doctor_finds_nothing_broken_on_debian_13(trixie):
    wait_until_all_are_online(trixie)

    for machine in (trixie.portal, *trixie.gateways):
        assert broken(machine) == {}


def test_an_upgrade_on_debian_13_loses_no_ping_and_keeps_the_sas(trixie, packages):
    gateway = trixie.gateways[0]
    later = packages[1].result()
    wait_for(trixie.ping, 15)
    before = charon(gateway)

    server = trixie.site.on_host("server")
    with pinging_with(server, 0.1) as pings:
        upgrade(trixie, later)
        wait_until_all_are_online(trixie)
        after = charon(gateway)
        assert trixie.apply() == "live"

    print(pings)
    assert {version_of(machine) for machine in (trixie.portal, gateway)} == {LATER}
    assert pings.gap_seconds == 0
    assert after == before
    for machine in (trixie.portal, gateway):
        assert broken(machine) == {}
