"""Both ways back from a later version, under ping, and a later version that refuses the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machines.installation import Installation, run_steps
from tests.machines.machine import Machine
from tests.machines.packages import build
from tests.machines.test_installed import getting_pages
from tests.machines.upgrading import (
    LATER,
    REFUSING,
    broken,
    charon,
    commands,
    doctor,
    later_release,
    packages_of,
    refusing_release,
    upgrade,
    version_of,
    wait_until_all_are_online,
)
from tests.running_portal import wait_for
from tests.system.pings import pinging_with

# A second address of the customer, and its provider address.
CUSTOMER, PROVIDER = "192.168.10.16", "10.1.255.93"
ADD = f"""
row = services.TranslationRow(IPv4Address("{PROVIDER}"), IPv4Address("{CUSTOMER}"), "")
services.set_translations(tunnel, [row], user)
"""
REMOVE = f"""
row = tunnel.translations.get(internal_address="{PROVIDER}")
services.remove_translation(tunnel, row.pk, user)
"""
# What a portal writes into each table to which the later version adds a column.
ORDER = """
from vpnportal.models import Account, Datacenter
account = Account.objects.create(name="A later account")
print(services.order(account, Datacenter.objects.get(), user).name)
"""


@dataclass
class Versions:
    """The packages of an installation, and those of the version after it."""

    installed: Installation
    before: list[Path]
    version: str
    later: list[Path]

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The portal and the gateways."""
        return (self.installed.portal, *self.installed.gateways)


@pytest.fixture(scope="module")
def versions(installed, tmp_path_factory) -> Iterator[Versions]:
    """Yield the installation with a live tunnel and a backup, before its upgrade."""
    folder = tmp_path_factory.mktemp("versions")
    later = build(later_release(folder / "checkout"), folder / "later")
    before = packages_of(installed.portal, folder / "before")
    installed.site.run("ip", "-n", "customer", "address", "add", f"{CUSTOMER}/24", "dev", "eth0")
    assert installed.apply() == "live"
    wait_for(installed.ping, 150)
    wait_until_all_are_online(installed)
    yield Versions(installed, before, version_of(installed.portal), later)


def change(installed: Installation, edit: str) -> None:
    """Edit the tunnel and apply it."""
    installed.do(edit)
    assert installed.apply() == "live"


def test_the_way_back_loses_no_ping_no_page_and_nothing_that_was_applied(versions):
    installed = versions.installed
    gateway = installed.gateways[0]
    upgrade(installed, versions.later)
    change(installed, ADD)
    before = charon(gateway)
    assert {version_of(machine) for machine in versions.machines} == {LATER}

    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings, getting_pages(installed.portal) as statuses:
        installed.bring(versions.before)
        for machine in (*installed.gateways, installed.portal):
            run_steps(machine, commands("The way back", "way back"))
        wait_until_all_are_online(installed)
        after = charon(gateway)

    print(f"{pings}; {len(statuses)} pages")
    assert {version_of(machine) for machine in versions.machines} == {versions.version}
    assert (pings.gap_seconds, set(statuses)) == (0, {"200"})
    assert after == before
    assert installed.ping(PROVIDER)
    assert installed.do(ORDER).startswith("ipsec")
    change(installed, REMOVE)
    assert not installed.ping(PROVIDER)
    for machine in versions.machines:
        assert broken(machine) == {}
        assert doctor(machine)["schema"][0] == "yellow"


def test_packages_refuse_a_way_back_with_which_the_database_does_not_work(versions, tmp_path):
    """Then the backup from before the upgrade is the way back, and no ping is lost."""
    installed = versions.installed
    portal, gateway = installed.portal, installed.gateways[0]
    run_steps(portal, commands("Upgrade of the packages", "backup"))
    checkout = refusing_release(tmp_path / "checkout")
    upgrade(installed, build(checkout, tmp_path / "refusing"))
    change(installed, ADD)
    before = charon(gateway)
    installed.bring(versions.before)
    sentence = f"versions from {REFUSING} on do"
    for machine in versions.machines:
        with pytest.raises(AssertionError, match=sentence):
            run_steps(machine, commands("The way back", "way back"))
        assert version_of(machine) == REFUSING

    chapter = "Back by the backup"
    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings:
        for machine in installed.gateways:
            run_steps(machine, commands(chapter, "gateway"))
        run_steps(portal, commands(chapter, "portal"))
        for machine in installed.gateways:
            run_steps(machine, commands(chapter, "gateway again"))
        wait_until_all_are_online(installed)
        wait_for(lambda: "ipsec001" in portal.run("vpnportal", "held", "list", check=False), 60)
        assert installed.ping(PROVIDER)
        portal.run("vpnportal", "held", "keep", "ipsec001")
        after = charon(gateway)

    print(pings)
    assert {version_of(machine) for machine in versions.machines} == {versions.version}
    assert pings.gap_seconds == 0
    assert after == before
    wait_for(
        lambda: "No tunnel is held." in portal.run("vpnportal", "held", "list", check=False), 60
    )
    change(installed, REMOVE)
    assert not installed.ping(PROVIDER)
    for machine in versions.machines:
        assert broken(machine) == {}
