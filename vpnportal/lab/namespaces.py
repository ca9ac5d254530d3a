"""Network namespaces and the wires between them, made with `ip` and nothing in the root namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from .topology import HOSTS, NAMES, WIRES

# IPv6 is off because its neighbour discovery would be noise in every capture of the public side.
KERNEL_SETTINGS = """
for name in all default lo; do
    [ ! -d /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6
    echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter
done
echo "$1" > /proc/sys/net/ipv4/ip_forward
"""
PATIENCE = 12.0


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
    lines = run(["ip", "netns", "list"]).splitlines()
    names = {line.split()[0] for line in lines if line.strip()}
    return [host for host in NAMES if of(prefix, host) in names]


def make(prefix: str) -> None:
    """Four namespaces, wired and addressed as the table says."""
    for host in HOSTS:
        run(["ip", "netns", "add", of(prefix, host.name)])
        settings = ["sh", "-c", KERNEL_SETTINGS, "sh", str(int(host.forwards))]
        run(inside(prefix, host.name, settings))
    for left, right, name in WIRES:
        ends = ["name", name, "type", "veth", "peer", "name", name, "netns", of(prefix, right)]
        run(["ip", "-n", of(prefix, left), "link", "add", *ends])
    for host in HOSTS:
        run(["ip", "-n", of(prefix, host.name), "-batch", "-"], host.interfaces())


def delete(prefix: str) -> None:
    """Ends whatever runs in the namespaces, then removes them; harmless when there are none."""
    hosts = existing(prefix)
    started = time.monotonic()
    while running := [pid for host in hosts for pid in processes(prefix, host)]:
        waited = time.monotonic() - started
        if waited > PATIENCE:
            raise LaboratoryError(f"These processes in the laboratory do not end: {running}")
        end(running, signal.SIGTERM if waited < PATIENCE / 4 else signal.SIGKILL)
        time.sleep(0.1)
    for host in hosts:
        run(["ip", "netns", "delete", of(prefix, host)])


def processes(prefix: str, host: str) -> list[int]:
    """The process ids in a host's namespace."""
    return [int(pid) for pid in run(["ip", "netns", "pids", of(prefix, host)]).split()]


def end(pids: list[int], how: signal.Signals) -> None:
    """Sends the signal; a process that ended in the meantime is what was wanted."""
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            continue
