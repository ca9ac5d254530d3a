"""The machines of the other tests: what a power cycle keeps, and that none outlives its test."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines import guard
from tests.machines.machine import Machine
from tests.machines.site import Site
from tests.running_portal import ROOT, read, wait_for

# Boots a machine and waits; prints the guard and a process of the machine.
HOLD = """
import sys, time
from pathlib import Path
from tests.machines.machine import Machine
from tests.machines.site import Site
site = Site()
machine = Machine(site, "held", Path(sys.argv[1]), (), Path(sys.argv[2]))
machine.up()
print(site.guard_pid, machine.leader, flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module")
def machine(site: Site, system: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    links = (("lan", "10.0.0.1/24"),)
    machine = Machine(site, "power", system, links, tmp_path_factory.mktemp("machine"))
    assert machine.up() == "running"
    return machine


def test_a_power_cycle_keeps_the_disk_and_nothing_in_the_kernel(machine):
    machine.script("echo kept >/root/file; ip address add 10.0.0.9/24 dev eth0; touch /run/file")
    assert "10.0.0.9" in machine.run("ip", "-brief", "address")
    boot = machine.run("cat", "/proc/1/stat").split()[21]

    machine.halt()
    assert machine.up() == "running"

    assert machine.run("cat", "/root/file") == "kept\n"
    addresses = machine.run("ip", "-brief", "address")
    assert "10.0.0.1/24" in addresses
    assert "10.0.0.9" not in addresses
    assert "file" not in machine.run("ls", "/run").split()
    assert machine.run("cat", "/proc/1/stat").split()[21] != boot


def test_a_machine_reaches_no_network_but_those_of_its_site(machine):
    assert machine.run("ip", "-brief", "route").split("\n")[:-1] == [
        "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1 "
    ]


def test_nothing_of_a_machine_outlives_a_killed_test(system, tmp_path):
    test = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(system), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert test.stdout
    guard_pid, leader = test.stdout.readline().split()
    assert read(Path("/proc", leader, "comm")) == b"systemd\n"

    test.send_signal(signal.SIGKILL)
    test.wait(10)

    wait_for(lambda: not Path("/proc", guard_pid).exists(), 20)
    assert not Path("/proc", leader).exists()
    assert not [top for top in guard.hierarchies() if list(top.glob(guard.cgroup(guard_pid, "*")))]
    assert "held" not in Path("/proc/mounts").read_text()
