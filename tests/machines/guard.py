"""The guard of a site: `python -m tests.machines.guard NAME`, which holds the site's namespaces.

Prints the process id of the namespaces' first process, then waits for TERM. setpriv sends it when
the test process ends, even by kill -9. Then the guard ends the site: all processes, mounts and
interfaces are in namespaces that end with their first process. Only cgroups are left to remove.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# The first process has a /run/netns and a /mnt of its own: network namespaces and disks.
FIRST_PROCESS = """
mkdir -p /run/netns
mount -t tmpfs site /run/netns
mount -t tmpfs -o mode=755 site /mnt
ip link set lo up
echo ready
exec sleep infinity
"""
HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
PREFIX = "vpnportal-machines"
END_SECONDS = 20


def hierarchies() -> list[Path]:
    """Return the cgroup hierarchies that systemd-nspawn uses: version 2, and the named one."""
    return [Path(name) for name in HIERARCHIES if Path(name, "cgroup.procs").exists()]


def cgroup(guard: int | str, machine: str) -> str:
    """Return the name of a machine's cgroup in each hierarchy."""
    return f"{PREFIX}-{guard}-{machine}"


def remove_cgroups(name: str) -> None:
    """Remove the cgroups of this name, or of this pattern, the innermost first.

    Waits for the end of their processes, which were killed. Raises OSError after END_SECONDS.
    """
    deadline = time.monotonic() + END_SECONDS
    for top in hierarchies():
        for machine in top.glob(name):
            for folder, _, _ in os.walk(machine, topdown=False):
                _remove(Path(folder), deadline)


def _remove(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def clean_up_after_crashes() -> None:
    """Remove the cgroups of guards that were killed."""
    for top in hierarchies():
        for folder in top.glob(cgroup("*", "*")):
            guard = folder.name.removeprefix(PREFIX + "-").partition("-")[0]
            if not Path("/proc", guard).exists():
                remove_cgroups(folder.name)


def main() -> None:
    """Hold the namespaces until TERM."""
    parent = os.getppid()
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    namespaces = ("--pid", "--mount", "--net", "--uts", "--ipc")
    unshare = ("unshare", *namespaces, "--fork", "--kill-child", "--mount-proc")
    holder = subprocess.Popen(
        ("setpriv", "--pdeathsig", "KILL", *unshare, "sh", "-ec", FIRST_PROCESS),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    if holder.stdout.readline() == "ready\n":
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
        print(children.split()[0], flush=True)
        # The parent may have ended before setpriv asked for the signal.
        if os.getppid() == parent:
            signal.sigwait(signals)
    holder.kill()
    holder.wait()
    remove_cgroups(cgroup(os.getpid(), "*"))


if __name__ == "__main__":
    sys.exit(main())
