"""Network namespaces and the wires between them; the root namespace stays unchanged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable

from lab.topology import NAMESPACE_NAMES, Host, Wire

# IPv6 is off: its neighbour discovery would appear in each capture of the public side. The others
# are the settings of a gateway, with their reasons in docs/operations.md.
KERNEL_SETTINGS = """
for name in all default lo; do
    [ ! -d /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6
    for setting in rp_filter send_redirects accept_redirects; do
        echo 0 > /proc/sys/net/ipv4/conf/$name/$setting
    done
done
echo 1 > /proc/sys/net/ipv4/fwmark_reflect
[ ! -e /proc/sys/net/core/xfrm_acq_expires ] || echo 165 > /proc/sys/net/core/xfrm_acq_expires
echo "$1" > /proc/sys/net/ipv4/ip_forward
"""


class LaboratoryError(Exception):
    """Failure of the laboratory; the text is the reason, for the operator."""


def run(argv: list[str], text: str | None = None) -> str:
    """Return the output of a command. Raises LaboratoryError with its last message if it fails."""
    try:
        process = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LaboratoryError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if process.returncode:
        messages = (process.stderr.strip() or process.stdout.strip()).splitlines()
        raise LaboratoryError(f"{' '.join(argv)}: {messages[-1] if messages else 'failed'}")
    return process.stdout


def namespace_of(prefix: str, host: str) -> str:
    """Return the name of a host's namespace."""
    return f"{prefix}-{host}"


def inside(prefix: str, host: str, argv: list[str]) -> list[str]:
    """Return the command line that runs a command in the namespace of a host."""
    return ["ip", "netns", "exec", namespace_of(prefix, host), *argv]


def existing(prefix: str) -> list[str]:
    """Return the hosts of this laboratory whose namespace exists."""
    if not shutil.which("ip"):
        return []
    lines = run(["ip", "netns", "list"]).splitlines()
    names = {line.split()[0] for line in lines if line.strip()}
    return [host for host in NAMESPACE_NAMES if namespace_of(prefix, host) in names]


def make(prefix: str, hosts: Iterable[Host], wires: Iterable[tuple[str, ...]]) -> None:
    """Make a namespace for each host, with its wires, addresses and routes."""
    for host in hosts:
        run(["ip", "netns", "add", namespace_of(prefix, host.name)])
        settings = ["sh", "-c", KERNEL_SETTINGS, "sh", str(int(host.forwards))]
        run(inside(prefix, host.name, settings))
    for wire in wires:
        left, right, name, port = Wire(*wire)
        right_end = ["type", "veth", "peer", "name", name, "netns", namespace_of(prefix, right)]
        run(
            [
                "ip",
                "-n",
                namespace_of(prefix, left),
                "link",
                "add",
                "name",
                port or name,
                *right_end,
            ]
        )
    for host in hosts:
        run(["ip", "-n", namespace_of(prefix, host.name), "-batch", "-"], host.ip_batch())


def delete(prefix: str) -> None:
    """Terminate all processes in the namespaces and delete them, if they exist."""
    hosts = existing(prefix)
    for number, seconds in ((signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0)):
        _empty(prefix, hosts, number, seconds)
    for host in hosts:
        run(["ip", "netns", "delete", namespace_of(prefix, host)])


def _empty(prefix: str, hosts: list[str], number: signal.Signals, seconds: float) -> None:
    """Send each process in these namespaces the signal once, and wait until they have ended."""
    signalled: set[int] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        running = {pid for host in hosts for pid in processes(prefix, host)}
        if not running:
            return
        end(running - signalled, number)
        signalled |= running
        time.sleep(0.05)


def processes(prefix: str, host: str) -> list[int]:
    """Return the process ids in a host's namespace."""
    return [int(pid) for pid in run(["ip", "netns", "pids", namespace_of(prefix, host)]).split()]


def end(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, and ignore those that have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
