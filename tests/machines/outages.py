"""Outages of machines: a cut network, a full disk, and a table of their costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.machines.machine import DISKS, Machine
from tests.machines.site import Site
from tests.system.pings import Pings

# tmpfs accounts in pages. A machine that writes meanwhile needs another try.
FILL_TRIES = 20


@contextmanager
def cut(site: Site, one: Machine, other: Machine) -> Iterator[None]:
    """Drop all IPv4 packets between two machines during the block, without an answer.

    ARP passes: a machine learns nothing from its neighbour table, as with a broken router between.
    """
    table = f"bridge cut-{one.name}-{other.name}"
    rules = [
        f"add table {table}",
        f"add chain {table} passing {{ type filter hook forward priority 0; }}",
    ]
    for port, bridge in ports(one):
        for other_port, other_bridge in ports(other):
            if bridge == other_bridge:
                rules += (
                    f'add rule {table} passing ether type ip iifname "{a}" oifname "{b}" drop'
                    for a, b in ((port, other_port), (other_port, port))
                )
    assert len(rules) > 2, f"{one.name} and {other.name} have no bridge in common"
    site.run("nft", "; ".join(rules))
    try:
        yield
    finally:
        site.run("nft", f"delete table {table}")


def ports(machine: Machine) -> list[tuple[str, str]]:
    """Return the ports of a machine, each with its bridge."""
    return [
        (f"{machine.name}.{number}", bridge) for number, (bridge, _) in enumerate(machine.links)
    ]


@contextmanager
def full_disk(machine: Machine) -> Iterator[None]:
    """Leave the disk of a machine in a container no free byte and no free inode, for root neither.

    The limit of its file system becomes the size in use. So nothing has to be written.
    """
    site, disk = machine.site, str(DISKS / machine.name)
    first = _usage(site, disk)
    for _ in range(FILL_TRIES):
        now = _usage(site, disk)
        site.run(*_remount(now.used_bytes, now.used_inodes), disk, check=False)
        left = _usage(site, disk)
        if left.free_bytes == 0 and left.free_inodes == 0:
            break
    else:
        raise AssertionError(f"{machine.name} still has {left}")
    try:
        yield
    finally:
        site.run(*_remount(first.bytes, first.inodes), disk)


@dataclass(frozen=True, slots=True)
class _Usage:
    bytes: int
    free_bytes: int
    inodes: int
    free_inodes: int

    @property
    def used_bytes(self) -> int:
        return self.bytes - self.free_bytes

    @property
    def used_inodes(self) -> int:
        return self.inodes - self.free_inodes


def _usage(site: Site, disk: str) -> _Usage:
    shown = site.run("stat", "--file-system", "--format", "%S %b %f %c %d", disk)
    size, blocks, free, inodes, free_inodes = map(int, shown.split())
    return _Usage(size * blocks, size * free, inodes, free_inodes)


def _remount(size: int, inodes: int) -> tuple[str, ...]:
    return ("mount", "-o", f"remount,size={size},nr_inodes={inodes}")


_costs: list[tuple[str, str, str, str]] = []


def note(event: str, pings: Pings, seconds: float | None = None) -> None:
    """Keep a row for the table: an event, its pings at 10/s, and the seconds until all was back.

    The seconds count from the end of the event; None if nothing was away.
    """
    back = "" if seconds is None else f"{seconds:.1f}"
    _costs.append((event, str(pings.lost), str(pings.sent), back))


def table() -> list[str]:
    """Return the lines of the table of all events, none without an event."""
    if not _costs:
        return []
    head = ("event", "pings lost", "of", "seconds until back")
    width = max(len(event) for event, *_ in _costs)
    return [
        f"{event:<{width}}  {lost:>10}  {sent:>5}  {back:>18}".rstrip()
        for event, lost, sent, back in (head, *_costs)
    ]
