"""A portal and a gateway that were installed on Debian 12, taken to Debian 13."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.machines.debian import FOLDER, archive_of_upgrade, root_file_system
from tests.machines.installation import Installation, run_steps
from tests.machines.machine import Machine
from tests.machines.packages import build, clone
from tests.machines.site import Site
from tests.machines.upgrading import broken, commands, wait_until_all_are_online
from tests.running_portal import ROOT, wait_for
from tests.system.pings import pinging_with

CHAPTER = "From Debian 12 to 13"
# The archives of both Debians, by the names that docs/operations.md changes.
ARCHIVES = {"bookworm": FOLDER, "trixie": "/srv/trixie"}
SOURCES = "deb [trusted=yes] file:/srv/bookworm ./\n"

pytestmark = pytest.mark.only_all


@pytest.fixture(scope="module")
def bookworm(system, tmp_path_factory) -> Iterator[Installation]:
    """Yield an installation on Debian 12 whose apt has an archive of Debian 13 in reach."""
    folder = tmp_path_factory.mktemp("debian-12")
    site = Site()
    try:
        installation = Installation(site, root_file_system(12), folder, gateways=1, disk_size="4G")
        installation.boot(lambda machine: offer_debian_13(installation, machine))
        installation.bring(build(ROOT, folder, debian=12))
        installation.install()
        installation.fill_in()
        assert installation.apply() == "live"
        wait_for(installation.ping, 15)
        yield installation
    finally:
        site.close()


def offer_debian_13(installation: Installation, machine: Machine) -> None:
    """Put both archives on the disk of a machine that is off."""
    run, disk = installation.site.run, machine.root / "srv"
    run("ln", "-s", FOLDER, str(disk / "bookworm"))
    run("mkdir", str(disk / "trixie"))
    run("mount", "--bind", "-o", "ro", str(archive_of_upgrade(13)), str(disk / "trixie"))
    machine.write("etc/apt/sources.list", SOURCES)


def test_portal_and_gateway_go_from_debian_12_to_13(bookworm, tmp_path):
    portal, gateway = bookworm.portal, bookworm.gateways[0]
    packages = build(clone(tmp_path / "checkout"), tmp_path, debian=13)
    bookworm.bring(packages)
    stop, upgrade_portal, move_database = commands(CHAPTER, "portal")
    (upgrade_gateway,) = commands(CHAPTER, "gateway")
    (other_sources,) = commands(CHAPTER, "portal and gateway")

    server = bookworm.site.on_host("server")
    with pinging_with(server, 0.1) as pings:
        run_steps(portal, [stop, other_sources, upgrade_portal, move_database])
        portal.halt()
        assert portal.up() == "running", portal.run("systemctl", "--failed")
        wait_until_all_are_online(bookworm)
    print(f"the portal on Debian 13: {pings}")
    assert pings.gap_seconds == 0
    assert portal.run("pg_lsclusters", "--no-header").split()[0] == "17"
    assert bookworm.apply() == "live"

    with pinging_with(server, 0.1) as pings:
        run_steps(gateway, [other_sources, upgrade_gateway])
        wait_for(bookworm.ping, 150)
    print(f"the gateway on Debian 13, before its boot: {pings}")
    gateway.halt()
    assert gateway.up() == "running", gateway.run("systemctl", "--failed")
    wait_for(bookworm.ping, 150)
    wait_until_all_are_online(bookworm)
    assert bookworm.apply() == "live"
    assert bookworm.ping()
    for machine in (portal, gateway):
        assert 'VERSION_ID="13"' in machine.run("cat", "/etc/os-release")
        versions = machine.run("dpkg-query", "--show", "vpnportal*")
        assert set(re.findall(r"\+deb(\d+)", versions)) == {"13"}
        assert broken(machine) == {}
    assert " 6." in gateway.run("swanctl", "--version")
