"""Network namespaces and the wires between them; nothing is made in the root namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable

from lab.topology import ALL_NAMES, Host, Wire

# IPv6 is off because its neighbour discovery would be noise in every capture of the public side.
KERNEL_SETTINGS = """
for name in all default lo; do
    [ ! -d /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6
    echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter
done
echo "$1" > /proc/sys/net/ipv4/ip_forward
"""


class LaboratoryError(Exception):
    """Why the laboratory cannot do what it was asked, in words for people."""


def run(argv: list[str], text: str | None = None) -> str:
    """What the command prints; LaboratoryError with its complaint if it fails."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LaboratoryError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LaboratoryError(f"{' '.join(argv)}: {complaint[-1] if complaint else 'failed'}")
    return done.stdout


def of(prefix: str, host: str) -> str:
    """The namespace of a host."""
    return f"{prefix}-{host}"


def inside(prefix: str, host: str, argv: list[str]) -> list[str]:
    """The same command, in the namespace of a host."""
    return ["ip", "netns", "exec", of(prefix, host), *argv]


def existing(prefix: str) -> list[str]:
    """The hosts of this laboratory that have a namespace now."""
    if not shutil.which("ip"):
        return []
    lines = run(["ip", "netns", "list"]).splitlines()
    names = {line.split()[0] for line in lines if line.strip()}
    return [host for host in ALL_NAMES if of(prefix, host) in names]


def make(prefix: str, hosts: Iterable[Host], wires: Iterable[tuple[str, ...]]) -> None:
    """A namespace for each host, wired and addressed as the tables say."""
    for host in hosts:
        run(["ip", "netns", "add", of(prefix, host.name)])
        settings = ["sh", "-c", KERNEL_SETTINGS, "sh", str(int(host.forwards))]
        run(inside(prefix, host.name, settings))
    for wire in wires:
        left, right, name, port = Wire(*wire)
        ends = ["type", "veth", "peer", "name", name, "netns", of(prefix, right)]
        run(["ip", "-n", of(prefix, left), "link", "add", "name", port or name, *ends])
    for host in hosts:
        run(["ip", "-n", of(prefix, host.name), "-batch", "-"], host.interfaces())


def delete(prefix: str) -> None:
    """Ends whatever runs in the namespaces, then removes them; harmless when there are none."""
    hosts = existing(prefix)
    for how, seconds in ((signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0)):
        _empty(prefix, hosts, how, seconds)
    for host in hosts:
        run(["ip", "netns", "delete", of(prefix, host)])


def _empty(prefix: str, hosts: list[str], how: signal.Signals, seconds: float) -> None:
    """Tells every process in these namespaces once, and waits until they are gone."""
    told: set[int] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        running = {pid for host in hosts for pid in processes(prefix, host)}
        if not running:
            return
        end(running - told, how)
        told |= running
        time.sleep(0.05)


def processes(prefix: str, host: str) -> list[int]:
    """The process ids in a host's namespace."""
    return [int(pid) for pid in run(["ip", "netns", "pids", of(prefix, host)]).split()]


def end(pids: Iterable[int], how: signal.Signals) -> None:
    """Sends the signal; a process that ended in the meantime is what was wanted."""
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            continue
