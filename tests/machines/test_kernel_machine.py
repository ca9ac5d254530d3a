"""A gateway that restarts in a kernel of its own, with ESP: example, upgrade and power cycle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from tests.machines import install_guide
from tests.machines.installation import Installation, run_steps
from tests.machines.kernel_machine import KERNEL, KernelMachine, kernel_file
from tests.machines.outages import note
from tests.machines.packages import build, clone, make_next_release
from tests.running_portal import wait_for
from tests.system.pings import pinging_with

NAME = install_guide.EXAMPLE_NAME
KEYS = ("concentrator", "fingerprint", "gateway", "seal", "tls")


@pytest.fixture(scope="module")
def gateway(installed: Installation) -> Iterator[KernelMachine]:
    """Yield the first gateway, which goes on in a kernel of its own with the disk it has."""
    if kernel_file() is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"This machine has no kernel: run bin/kernel build --kernel {KERNEL}.")
    assert installed.apply() == "live"
    container = installed.gateways[0]
    container.halt()
    installed.esp_of_the_kernel(container)
    machine = KernelMachine(
        container.site, container.name, container.system, container.links, container.folder
    )
    machine.take_disk(container)
    installed.gateways[0] = machine
    assert machine.up() == "running", machine.run("systemctl", "--failed")
    wait_for(installed.ping, 150)
    yield machine


def spis(gateway: KernelMachine) -> set[str]:
    """Return the SPIs of the kernel's ESP states."""
    return set(re.findall(r"proto esp spi (0x\w+)", gateway.run("ip", "xfrm", "state")))


def test_the_kernel_carries_the_packets_of_the_example(installed, gateway):
    assert gateway.run("uname", "--kernel-release").startswith(KERNEL)
    assert gateway.run("cat", "/proc/1/comm") == "systemd\n"
    packets = r"lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)"

    def passed() -> int:
        states = gateway.run("ip", "-statistics", "xfrm", "state")
        return sum(map(int, re.findall(packets, states)))

    before = passed()
    assert installed.ping()

    assert len(spis(gateway)) >= 2
    # An echo and its reply.
    assert passed() >= before + 2
    assert "libipsec" not in gateway.run("swanctl", "--stats")
    assert "tun" not in gateway.run("ip", "-details", "link", "show", "type", "tun")


def test_each_unit_has_its_user_capabilities_filter_and_keys(gateway):
    assert "0 loaded units listed" in gateway.run("systemctl", "--failed")
    for process in ("worker", "monitor", "routes"):
        unit = f"vpnportal-{process}@{NAME}.service"
        shown = gateway.run("systemctl", "show", "--property", "ActiveState,MainPID", unit)
        show = dict(line.split("=", 1) for line in shown.splitlines())
        assert show["ActiveState"] == "active", unit
        pid = show["MainPID"]
        status = gateway.run("cat", f"/proc/{pid}/status")
        sets = dict(re.findall(r"^Cap(\w+):\t0*([0-9a-f]+)$", status, re.MULTILINE))
        # CAP_NET_ADMIN is bit 12, CAP_NET_RAW is bit 13.
        assert (sets["Eff"], sets["Bnd"]) == ("3000", "3000"), unit
        # 2 is a filter of system calls.
        assert "Seccomp:\t2" in status
        assert gateway.run("ps", "-o", "user:32=", pid).strip() == "vpnportal-gateway"
    credentials = f"/run/credentials/vpnportal-worker@{NAME}.service"
    assert gateway.script(f"cd {credentials}; stat --format %n *").split() == [
        f"{key}.key" for key in KEYS
    ]
    for key in ("gateway", "concentrator", "tls"):
        gateway.run("cmp", f"{credentials}/{key}.key", f"/etc/vpnportal/keys/{key}.key")


def test_the_doctor_finds_nothing_broken_on_a_kernel_with_esp(installed, gateway):
    wait_for(lambda: gateway.name in installed.online(), 60)
    found = json.loads(gateway.run("vpnportal", "doctor", "--json", check=False))

    assert len(found) > 10
    broken = [each for each in found if each["state"] == "red"]
    broken += [each for each in found if each["found"].startswith("unknown: ")]
    assert broken == []


def test_an_upgrade_on_kernel_esp_loses_no_ping_and_keeps_the_sas(installed, gateway, tmp_path):
    checkout = clone(tmp_path / "checkout")
    make_next_release(checkout, "99.1.0")
    installed.bring(build(checkout, tmp_path / "packages"))
    (upgrade,) = install_guide.steps("Upgrades", "upgrade")
    before = spis(gateway)

    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings:
        for machine in (installed.portal, gateway):
            run_steps(machine, [upgrade])
        assert "99.1.0" in gateway.run("dpkg-query", "--show", "vpnportal-gateway")
        wait_for(lambda: gateway.name in installed.online(), 60)
        after = spis(gateway)
        assert installed.apply() == "live"

    print(pings)
    assert pings.gap_seconds == 0
    assert after == before


@pytest.mark.parametrize("portal", ["on", "off"])
def test_a_power_cycle_on_kernel_esp_heals_by_itself(installed, gateway, portal):
    wait_for(installed.ping, 30)
    before = spis(gateway)
    if portal == "off":
        installed.portal.halt()

    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings:
        gateway.halt()
        assert gateway.up() == "running", gateway.run("systemctl", "--failed")
        back = wait_for(installed.ping, 150)

    note(f"power cycle: {gateway.name} on kernel ESP, portal {portal}", pings, back)
    assert pings.lost > 0
    assert not spis(gateway) & before
    if portal == "off":
        installed.portal.up()
    wait_for(lambda: gateway.name in installed.online(), 60)
    assert installed.apply() == "live"
    wait_for(installed.ping, 30)
