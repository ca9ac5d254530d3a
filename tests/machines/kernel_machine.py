"""A machine in a kernel of its own: user-mode Linux of bin/kernel, with ESP, systemd and a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.machines import agent
from tests.machines.debian import DEBIAN
from tests.machines.machine import DISKS, ENVIRONMENT, Machine
from tests.machines.site import mac_of
from tests.running_portal import ROOT

# Debian's own.
KERNEL = {12: "6.1", 13: "6.12"}[DEBIAN]
MEMORY = "1200M"
DISK_SIZE = "3G"
# Before the network: the cards get the names that they have in a container, for /etc/network.
UNIT = """\
[Unit]
Description=Commands of the tests
DefaultDependencies=no
After=local-fs.target systemd-tmpfiles-setup.service
Before=network-pre.target networking.service
Wants=network-pre.target

[Service]
ExecStartPre=sh -c 'for card in /sys/class/net/vec*; do [ ! -e $$card ] || \
ip link set $${{card##*/}} name eth$${{card##*vec}}; done'
ExecStartPre=mkdir -p /run/agent
ExecStartPre=mount -t hostfs -o {folder} agent /run/agent
Environment=LIBMOUNT_FORCE_MOUNT2=always
ExecStart=bash /etc/agent.sh

[Install]
WantedBy=sysinit.target
"""


def kernel_file() -> Path | None:
    """Return the kernel of this Debian, or None if bin/kernel has not built it."""
    words = (str(ROOT / "bin" / "kernel"), "path", "--kernel", KERNEL)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return None if done.returncode else Path(done.stdout.strip())


@dataclass(slots=True)
class KernelMachine(Machine):
    """A machine as a process of user-mode Linux, with a disk of ext4 in one file, in memory."""

    @property
    def disk(self) -> Path:
        """The file with the disk, in the mount namespace of the site."""
        return DISKS / f"{self.name}.ext4"

    @property
    def share(self) -> Path:
        """The folder through which commands reach the machine."""
        return self.folder / f"{self.name}.agent"

    def take_disk(self, machine: Machine) -> None:
        """Make the disk from that of a machine in a container, which is off and loses its own."""
        machine.write("etc/agent.sh", agent.AGENT)
        machine.write("etc/systemd/system/agent.service", UNIT.format(folder=self.share))
        units = machine.root / "etc/systemd/system"
        self.site.run("mkdir", "-p", f"{units}/sysinit.target.wants")
        self.site.run("ln", "-s", "../agent.service", f"{units}/sysinit.target.wants")
        # All modules are compiled in, and a machine without a package of a kernel has no libkmod.
        self.site.run("ln", "-s", "/dev/null", f"{units}/systemd-modules-load.service")
        # Otherwise the kernel does it, by a call that a file in memory refuses.
        zeroed = "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
        make = ("mke2fs", "-q", "-t", "ext4", "-E", zeroed, "-d", str(machine.root))
        self.site.run(*make, str(self.disk), DISK_SIZE)
        machine.down()

    def start(self) -> None:
        """Switch the machine on, without waiting for the end of its boot."""
        kernel = kernel_file()
        assert kernel
        shutil.rmtree(self.share, ignore_errors=True)
        self.share.mkdir(parents=True)
        cards = []
        for number, (bridge, address) in enumerate(self.links):
            tap = f"{self.name}.{number}"
            self.site.add_tap(tap, bridge)
            cards.append(f"vec{number}:transport=tap,ifname={tap},mac={mac_of(address)}")
        # One processor, for the reason that bin/kernel has.
        processor = str(max(os.sched_getaffinity(0)))
        words = (
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("env", "-i", *ENVIRONMENT, "TMPDIR=/dev/shm", "taskset", "--cpu-list", processor),
            *(str(kernel), f"mem={MEMORY}", f"ubd0={self.disk}", "root=/dev/ubda"),
            *("rootfstype=ext4", "rw", *cards, f"uml_dir={self.folder}", "quiet"),
            *("con=null", "con0=null,fd:1", "ssl=null"),
        )
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                self.site.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.leader = self._find_leader(kernel.name)

    def up(self) -> str:
        """Start the machine and wait for the end of its boot."""
        self.start()
        return self.wait()

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` as root, with its input as a whole."""
        call = (sys.executable, agent.__file__, str(self.share), str(self.leader))
        return [*call, "env", "-i", *ENVIRONMENT, *words]

    def halt(self) -> None:
        """Switch the machine off as a power failure does: what it has not yet written is lost."""
        assert self._process
        subprocess.run(["kill", "-KILL", str(self.leader)], check=True)
        self._process.wait(30)
        self._process = None
        for number in range(len(self.links)):
            self.site.run("ip", "link", "delete", f"{self.name}.{number}")
