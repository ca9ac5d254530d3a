"""Rules about addresses and subnets: parse, overlap, inside, usable. IPv4, as the panel is."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network

# What no tunnel may lead to: RFC 6890's special blocks that are not somebody's network.
RESERVED = tuple(
    IPv4Network(block)
    for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)


def parse_address(text: str) -> IPv4Address:
    """The address that `text` names; ValueError says in words what would be right."""
    try:
        return IPv4Address(text.strip())
    except AddressValueError:
        raise ValueError("Enter an IPv4 address such as 192.168.10.15.") from None


class HostBits(ValueError):
    """An address inside a network was entered for the network; `meant` is what would be right."""

    def __init__(self, ip: IPv4Address, meant: IPv4Network) -> None:
        super().__init__(f"{ip}/{meant.prefixlen} has host bits set. Did you mean {meant}?")
        self.meant = meant


def number(text: str) -> int:
    """The address as a number; `text` was written by `str(IPv4Address)`, perhaps very often."""
    one, two, three, four = text.split(".")
    return int(one) << 24 | int(two) << 16 | int(three) << 8 | int(four)


def dotted(number: int) -> str:
    """The text of an address that is a number, as `str(IPv4Address)` writes it."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def parse_subnet(address: str, cidr: str) -> IPv4Network:
    """The network of an address and a prefix length (0 to 32); ValueError says what is right.

    The length may stand behind the address, and may be a netmask: 10.0.0.0/24, 10.0.0.0
    255.255.255.0.
    """
    typed, _, behind = address.strip().replace("/", " ").partition(" ")
    if behind.strip() and cidr.strip() and _prefix(behind) != _prefix(cidr):
        text = f"The IP address ends in {behind.strip()}, the CIDR is {cidr.strip()}: which one?"
        raise ValueError(f"{text} Leave one of them out.")
    ip, prefix = parse_address(typed), _prefix(behind.strip() or cidr)
    network = IPv4Network((ip, prefix), strict=False)
    objection = subnet_objection(network)
    if network.network_address != ip and not objection:
        raise HostBits(ip, network)
    if objection:
        raise ValueError(objection)
    return network


def _prefix(text: str) -> int:
    """A prefix length as a number or as a netmask (RFC 950)."""
    text = text.strip().removeprefix("/").strip()
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 32:
        return int(text)
    bits = f"{int(IPv4Address(text)):032b}" if text.count(".") == 3 and _is_address(text) else "01"
    if "01" in bits:
        raise ValueError("Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.")
    return bits.count("1")


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def subnet_objection(network: IPv4Network) -> str | None:
    """Why no tunnel may protect this network, or None."""
    if network.prefixlen == 0:
        return "0.0.0.0/0 is every address there is. Enter the networks at the other end."
    if any(network.overlaps(block) for block in RESERVED):
        return f"{network} is reserved (loopback, link-local, multicast or unassigned)."
    return None


def subnet_warning(network: IPv4Network) -> str:
    """What is odd about a network at the customer's end, which may be right nevertheless, or ""."""
    if not network.is_global:
        return ""
    return (
        f"{network} is a public range. That is right only if the other end owns it: whatever else"
        " has these addresses cannot be reached from here."
    )


def peer_objection(address: IPv4Address) -> str | None:
    """Why no VPN device can have this address, or None."""
    if any(address in block for block in RESERVED):
        return f"{address} is reserved. Enter the static address of the customer's VPN device."
    return None


def inside(address: IPv4Address, networks: Iterable[IPv4Network]) -> bool:
    """Whether the address lies in any of the networks."""
    return any(address in network for network in networks)


def is_host(address: IPv4Address, networks: Iterable[IPv4Network]) -> bool:
    """Whether the address can be a host in one of the networks, not their first or broadcast one.

    Networks of 31 and 32 bits have no such ends (RFC 3021).
    """
    return any(
        address in network
        and (
            network.prefixlen >= 31
            or address not in (network.network_address, network.broadcast_address)
        )
        for network in networks
    )


class AddressSet:
    """Addresses that may be very many; whether one lies in a network is found without them all."""

    def __init__(self, addresses: Iterable[IPv4Address | int] = ()) -> None:
        self._sorted = sorted({int(address) for address in addresses})

    def first_in(self, network: IPv4Network) -> IPv4Address | None:
        """The lowest of them in the network, or None."""
        at = bisect_left(self._sorted, int(network.network_address))
        if at < len(self._sorted) and self._sorted[at] <= int(network.broadcast_address):
            return IPv4Address(self._sorted[at])
        return None

    def __iter__(self) -> Iterator[IPv4Address]:
        return map(IPv4Address, self._sorted)


def overlaps(
    left: Iterable[IPv4Network], right: Iterable[IPv4Network]
) -> list[tuple[IPv4Network, IPv4Network]]:
    """Every pair, one of each side, that shares an address."""
    others = tuple(right)
    return [(one, other) for one in left for other in others if one.overlaps(other)]
