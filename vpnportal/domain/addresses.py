"""Rules for IPv4 addresses and subnets: parse, check, contain, overlap. The panel has no IPv6."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network

# Special-purpose blocks of RFC 6890 that are no network of a customer.
RESERVED = tuple(
    IPv4Network(block)
    for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)


def parse_address(text: str) -> IPv4Address:
    """Return the address in `text`. Raises ValueError with an example if there is none."""
    try:
        return IPv4Address(text.strip())
    except AddressValueError:
        raise ValueError("Enter an IPv4 address such as 192.168.10.15.") from None


class HostBitsSet(ValueError):
    """A subnet was entered with host bits set; `network` is the subnet without host bits."""

    def __init__(self, ip: IPv4Address, network: IPv4Network) -> None:
        super().__init__(f"{ip}/{network.prefixlen} has host bits set. Did you mean {network}?")
        self.network = network


def number(text: str) -> int:
    """Return an address as a number; `text` is the output of `str(IPv4Address)`.

    Does not check the text: tables sort tens of thousands of addresses by this number.
    """
    first, second, third, fourth = text.split(".")
    return int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)


def dotted(number: int) -> str:
    """Return the text of an address, as `str(IPv4Address)` writes it."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def parse_subnet(address: str, cidr: str) -> IPv4Network:
    """Return the network of an address and a prefix length from 1 to 32.

    `address` may contain the prefix length, also as a netmask: 10.0.0.0/24, 10.0.0.0
    255.255.255.0. Raises ValueError if an entry is invalid or no tunnel may protect the
    network, and HostBitsSet if `address` is not the network address.
    """
    host, _, own_prefix = address.strip().replace("/", " ").partition(" ")
    own_prefix, cidr = own_prefix.strip(), cidr.strip()
    if own_prefix and cidr and _prefix_length(own_prefix) != _prefix_length(cidr):
        raise ValueError(
            f"The IP address has the prefix {own_prefix}, but the CIDR is {cidr}. Enter only one."
        )
    ip, prefix = parse_address(host), _prefix_length(own_prefix or cidr)
    network = IPv4Network((ip, prefix), strict=False)
    if objection := subnet_objection(network):
        raise ValueError(objection)
    if network.network_address != ip:
        raise HostBitsSet(ip, network)
    return network


def _prefix_length(text: str) -> int:
    """Return a prefix length that is entered as a number or as a netmask (RFC 950)."""
    text = text.strip().removeprefix("/").strip()
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 32:
        return int(text)
    try:
        bits = f"{int(IPv4Address(text)):032b}"
    except AddressValueError:
        bits = ""
    if not bits or "01" in bits:
        raise ValueError("Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.")
    return bits.count("1")


def subnet_objection(network: IPv4Network) -> str | None:
    """Return why no tunnel may protect the network, or None if a tunnel may."""
    if network.prefixlen == 0:
        return "0.0.0.0/0 matches all addresses. Enter the remote subnets."
    if any(network.overlaps(block) for block in RESERVED):
        return f"{network} is reserved (loopback, link-local, multicast or unassigned)."
    return None


def subnet_warning(network: IPv4Network) -> str:
    """Return a warning about a remote subnet that may still be correct, or ""."""
    if not network.is_global:
        return ""
    return (
        f"{network} is a public range. Use it only if the peer owns it: other hosts with these"
        " addresses cannot be reached from here."
    )


def claim_objection(network: IPv4Network, least_prefix: int) -> str:
    """Return why a tunnel may reserve the network only with a grant of the operators, or "".

    `least_prefix` is the prefix length of the largest private network without a grant.
    """
    if network.prefixlen < least_prefix:
        return f"is larger than a /{least_prefix}"
    return "has public addresses" if network.is_global else ""


def peer_objection(address: IPv4Address) -> str | None:
    """Return why no VPN device can have the address, or None if a device can."""
    if any(address in block for block in RESERVED):
        return f"{address} is reserved. Enter the static address of the customer's VPN device."
    return None


def inside(address: IPv4Address, networks: Iterable[IPv4Network]) -> bool:
    """Return True if any of the networks contains the address."""
    return any(address in network for network in networks)


def is_host(address: IPv4Address, networks: Iterable[IPv4Network]) -> bool:
    """Return True if the address is a host address in any of the networks.

    The network address and the broadcast address are no hosts, except in networks of 31 and
    32 bits (RFC 3021).
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
    """A sorted set of IPv4 addresses; `first_in` takes logarithmic time."""

    def __init__(self, addresses: Iterable[IPv4Address | int] = ()) -> None:
        self._sorted = sorted({int(address) for address in addresses})

    def first_in(self, network: IPv4Network) -> IPv4Address | None:
        """Return the lowest address of the set that is in the network, or None."""
        at = bisect_left(self._sorted, int(network.network_address))
        if at < len(self._sorted) and self._sorted[at] <= int(network.broadcast_address):
            return IPv4Address(self._sorted[at])
        return None

    def __contains__(self, address: object) -> bool:
        """Return True if the address, also as a number, is in the set."""
        if not isinstance(address, IPv4Address | int):
            return False
        return self.first_in(IPv4Network(address)) is not None

    def __iter__(self) -> Iterator[IPv4Address]:
        return map(IPv4Address, self._sorted)


def starts_around(network: IPv4Network) -> list[int]:
    """Return the numbers at which a network that contains this one can begin: at most 33."""
    first = int(network.network_address)
    return sorted({first >> bits << bits for bits in range(33 - network.prefixlen, 33)} | {first})


def address_count(ranges: Iterable[tuple[int, int]]) -> int:
    """Return the number of addresses in ranges of first and last address, which may overlap."""
    count, counted_to = 0, -1
    for first, last in sorted(ranges):
        count += max(0, last - max(first - 1, counted_to))
        counted_to = max(counted_to, last)
    return count


def overlaps(
    left: Iterable[IPv4Network], right: Iterable[IPv4Network]
) -> list[tuple[IPv4Network, IPv4Network]]:
    """Return the pairs of a network of `left` and a network of `right` that overlap."""
    right_networks = tuple(right)
    return [
        (network, other) for network in left for other in right_networks if network.overlaps(other)
    ]
