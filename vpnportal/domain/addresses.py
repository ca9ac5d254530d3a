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


def parse_subnet(address: str, cidr: str) -> IPv4Network:
    """The network of an address and a prefix length (0 to 32); ValueError says what is right."""
    ip, prefix = parse_address(address), cidr.strip().removeprefix("/")
    if not (prefix.isascii() and prefix.isdigit() and int(prefix) <= 32):
        raise ValueError("Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.")
    network = IPv4Network((ip, int(prefix)), strict=False)
    if network.network_address != ip:
        raise ValueError(f"{ip}/{int(prefix)} has host bits set. Did you mean {network}?")
    if objection := subnet_objection(network):
        raise ValueError(objection)
    return network


def subnet_objection(network: IPv4Network) -> str | None:
    """Why no tunnel may protect this network, or None."""
    if network.prefixlen == 0:
        return "0.0.0.0/0 is every address there is. Enter the networks at the other end."
    if any(network.overlaps(block) for block in RESERVED):
        return f"{network} is reserved (loopback, link-local, multicast or unassigned)."
    return None


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
