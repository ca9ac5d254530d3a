"""The static NAT table as rows: what is kept, or what somebody typed and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from vpnportal.models import Subnet, Tunnel


@dataclass(frozen=True, slots=True)
class Line:
    """One address of a subnet with its two inputs, and the note beside them."""

    address: IPv4Address
    remark: str
    customer: str = ""
    name: str = ""
    problem: str = ""
    saved: bool = False
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One assigned subnet; `lines` is None while it is collapsed."""

    pk: int
    network: IPv4Network
    filled: int
    lines: tuple[Line, ...] | None

    @property
    def size(self) -> int:
        return self.network.num_addresses

    def holds(self, address: str) -> bool:
        """Whether the address is one of this subnet."""
        return IPv4Address(address) in self.network


@dataclass(frozen=True, slots=True)
class Entry:
    """What was typed for one address, as text; `seen` is the row as its page showed it kept."""

    customer: str
    name: str
    problem: str = ""
    saved: bool = False
    seen: str | None = None

    @property
    def text(self) -> str:
        """Both columns in one, as `seen` has them."""
        return f"{self.customer.strip()} {self.name.strip()}".rstrip()


def open_ids(texts: Iterable[str]) -> set[int]:
    """The subnets that a URL asks to be expanded; anything else in it is ignored."""
    return {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19}


def kept_entries(tunnel: Tunnel) -> dict[IPv4Address, Entry]:
    """The translations of the draft, as the inputs of their rows would show them."""
    values = (translation.as_value() for translation in tunnel.translations.all())
    return {row.internal: Entry(str(row.customer), row.name) for row in values}


def blocks(
    tunnel: Tunnel, opened: set[int], entries: Mapping[IPv4Address, Entry] | None = None
) -> list[Block]:
    """Every assigned subnet in order; the opened ones with a line for each of their addresses."""
    kept = kept_entries(tunnel)
    shown = {**kept, **(entries or {})}
    rows = [row for row in tunnel.subnets.all() if row.kind == Subnet.Kind.STATIC_NAT]
    return [
        Block(
            row.pk,
            row.network,
            sum(at in row.network for at in kept),
            _lines(row.network, shown, kept) if row.pk in opened else None,
        )
        for row in sorted(rows, key=lambda row: row.network)
    ]


def _lines(
    network: IPv4Network, shown: Mapping[IPv4Address, Entry], kept: Mapping[IPv4Address, Entry]
) -> tuple[Line, ...]:
    empty = Entry("", "")
    return tuple(
        _line(network, at, shown.get(at, empty), kept.get(at, empty).text) for at in network
    )


def _line(network: IPv4Network, at: IPv4Address, entry: Entry, kept: str) -> Line:
    remark = ""
    if network.prefixlen < 31:
        ends = {network.network_address: "network", network.broadcast_address: "broadcast"}
        remark = ends.get(at, "")
    seen = kept if entry.seen is None else entry.seen
    return Line(at, remark, entry.customer, entry.name, entry.problem, entry.saved, seen)
