"""A machine: a container of systemd-nspawn with systemd as PID 1 and a disk of its own."""

from __future__ import annotations

import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.machines import guard
from tests.machines.site import Site, mac_of

# In the mount namespace of the site.
DISKS = Path("/mnt")
BOOT_SECONDS = 120
RUN_SECONDS = 300
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=dumb",
)
# Without a system bus on the host, nspawn can neither register a machine nor make a unit for it.
NSPAWN = (
    *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
    *("--capability=CAP_NET_ADMIN,CAP_NET_RAW", "--bind=/dev/net/tun"),
    *("--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
)
# Version 2 of cgroups, which Debian 13 needs; and the kernel's network settings may be changed.
SETTINGS = ("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
# Enters the cgroups before nspawn, which begins its own there: two machines in one cgroup would
# share /system.slice.
ENTER_CGROUPS = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'


@dataclass(slots=True)
class Machine:
    """A machine whose disk is an overlay over the root file system `system`, in memory.

    `links` are the bridge and the IPv4 address/prefix of eth0, eth1 and so on.
    """

    site: Site
    name: str
    system: Path
    links: tuple[tuple[str, str], ...]
    folder: Path
    disk_size: str = "2G"
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    leader: int = field(default=0, init=False)

    @property
    def root(self) -> Path:
        """The machine's root folder, in the mount namespace of the site."""
        return DISKS / self.name / "root"

    @property
    def console(self) -> Path:
        """The file with the messages of systemd while it booted."""
        return self.folder / f"{self.name}.console.log"

    def make_disk(self) -> None:
        """Make an empty disk with the machine's name, and the addresses of its interfaces."""
        disk = DISKS / self.name
        self.site.run("mkdir", str(disk))
        size = f"mode=755,size={self.disk_size}"
        self.site.run("mount", "-t", "tmpfs", "-o", size, self.name, str(disk))
        self.site.run("mkdir", f"{disk}/upper", f"{disk}/work", f"{disk}/root")
        layers = f"lowerdir={self.system},upperdir={disk}/upper,workdir={disk}/work"
        self.site.run("mount", "-t", "overlay", "-o", layers, self.name, str(self.root))
        interfaces = "".join(
            f"auto eth{number}\niface eth{number} inet static\n address {address}\n"
            for number, (_, address) in enumerate(self.links)
        )
        self.write("etc/hostname", self.name + "\n")
        self.write("etc/machine-id", uuid.uuid5(uuid.NAMESPACE_DNS, self.name).hex + "\n")
        self.write("etc/network/interfaces", "auto lo\niface lo inet loopback\n" + interfaces)

    def write(self, path: str, text: str) -> None:
        """Write a file of the disk, also while the machine is off; `path` has no leading slash."""
        command = self.site.command("sh", "-c", 'cat >"$1"', "sh", str(self.root / path))
        subprocess.run(command, input=text, text=True, check=True)

    def start(self) -> None:
        """Switch the machine on, without waiting for the end of its boot."""
        cards = [(bridge, mac_of(address)) for bridge, address in self.links]
        self.site.add_network_namespace(self.name, cards)
        cgroup = guard.cgroup(self.site.guard_pid, self.name)
        cgroups = [top / cgroup for top in guard.hierarchies()]
        for path in cgroups:
            path.mkdir()
        words = (
            *("env", *SETTINGS, *NSPAWN),
            *("--directory", str(self.root), "--machine", self.name),
            f"--network-namespace-path=/run/netns/{self.name}",
        )
        enter = ["sh", "-ec", ENTER_CGROUPS, "sh", *map(str, cgroups), "--"]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [*enter, *self.site.command(*words)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # It is 1 in the machine.
        self.leader = self._find_leader("systemd")

    def _find_leader(self, name: str) -> int:
        """Return the process id of the program `name` below the process that starts the machine."""
        assert self._process
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            for pid in _descendants(self._process.pid):
                # The kernel keeps 15 characters of a name.
                if _name(pid) == name[:15]:
                    return pid
            time.sleep(0.02)
        raise AssertionError(f"{self.name} does not start: {self.console.read_text()[-2000:]}")

    def wait(self) -> str:
        """Wait until the machine has booted; return `running`, or `degraded` with failed units."""
        deadline = time.monotonic() + BOOT_SECONDS
        state = ""
        ask = self.command("systemctl", "is-system-running", "--wait")
        while (left := deadline - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                state = subprocess.run(
                    ask, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=left
                ).stdout.strip()
            if state in ("running", "degraded"):
                return state
            time.sleep(0.1)
        raise AssertionError(f"{self.name} is {state!r} after {BOOT_SECONDS} s; see {self.console}")

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` on the machine as root."""
        enter = ("nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--wdns=/")
        return [*enter, "env", "-i", *ENVIRONMENT, *words]

    def run(self, *words: str, check: bool = True, text: str = "") -> str:
        """Run a command on the machine with the input `text`, and return its output.

        Raises AssertionError with its output if it fails.
        """
        done = subprocess.run(
            self.command(*words), input=text, capture_output=True, text=True, timeout=RUN_SECONDS
        )
        if check and done.returncode:
            output = f"{done.stderr}{done.stdout}"
            raise AssertionError(f"{self.name}: {' '.join(words)}: {done.returncode}: {output}")
        return done.stdout

    def script(self, text: str, check: bool = True) -> str:
        """Run lines of bash on the machine, up to the first that fails; return their output."""
        return self.run("bash", "-euo", "pipefail", "-c", text, check=check)

    def halt(self) -> None:
        """Switch the machine off as a power failure does. Its disk stays."""
        assert self._process
        subprocess.run(["kill", "-KILL", str(self.leader)], check=True)
        self._process.wait(30)
        self._process = None
        guard.remove_cgroups(guard.cgroup(self.site.guard_pid, self.name))
        self.site.remove_network_namespace(self.name)

    def up(self) -> str:
        """Make the disk unless there is one, start the machine and wait for the end of its boot."""
        if not self.site.run("ls", str(DISKS / self.name), check=False):
            self.make_disk()
        self.start()
        return self.wait()

    def down(self) -> None:
        """Switch the machine off and throw its disk away."""
        if self._process:
            self.halt()
        self.site.run("umount", str(self.root))
        self.site.run("umount", str(DISKS / self.name))
        self.site.run("rmdir", str(DISKS / self.name))


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid for child in map(int, children) for pid in (child, *_descendants(child))]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
