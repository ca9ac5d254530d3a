"""The gateway's interfaces: those of the public side, and those that lead to hosted networks.

The kernel reports changes of interfaces and addresses, so an observation of one tunnel reads
neither again. Messages: linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Network

from vpnportal.domain.addresses import number
from vpnportal.domain.planning.hosted_side import Links
from vpnportal.gateway import rtnetlink
from vpnportal.gateway.announced_routes import ROUTE_MESSAGE
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.local_addresses import Addresses
from vpnportal.gateway.netlink_messages import parse_attributes
from vpnportal.gateway.tunnel_route import RTA_OIF, look_up_route

RTMGRP_LINK = 0x1
# The reply to a lookup is the route itself, with the length of its destination.
RTM_F_FIB_MATCH = 0x2000
RTA_MULTIPATH = 9
# struct rtnexthop: length, flags, hops, index of the interface.
NEXT_HOP = struct.Struct("=HBBi")


class LinkReader:
    """Reads the interfaces, and remembers those that all tunnels need. Use one for a namespace."""

    def __init__(self) -> None:
        self._reports = rtnetlink.ChangeReports(RTMGRP_LINK)
        self._names: dict[int, str] = {}
        self._public: set[int] = set()
        self._leading: set[int] = set()
        self._networks: set[IPv4Network] = set()
        self._has_tunnels, self._is_partial = False, True

    def read(
        self,
        addresses: Addresses,
        peers: Iterable[str],
        hosted: Iterable[IPv4Network],
        hosted_side: frozenset[str],
        everything: bool,
    ) -> Links:
        """Return the interfaces for the tunnels of the arguments and of earlier calls.

        With `everything`, the arguments are of all tunnels. Otherwise the call takes as long with
        many tunnels and addresses as with few. `peers` are hosted peer addresses as charon lists
        them, `hosted` the networks behind the gateway. From `hosted_side` packets may enter a
        tunnel now. Raises GatewayError if the kernel does not answer.
        """
        try:
            if self._reports.read() != []:
                self._names = dict(socket.if_nameindex())
        except OSError as error:
            raise GatewayError(f"the gateway's interfaces cannot be read: {error}.") from error
        if everything:
            self._public, self._leading, self._networks = set(), set(), set()
            self._has_tunnels = self._is_partial = False
        numbers = _numbers(peers)
        self._has_tunnels |= bool(numbers)
        for index, own in addresses.by_interface.items():
            if any(_contains(own, peer) for peer in numbers):
                self._public.add(index)
        for network in hosted:
            if network not in self._networks:
                self._networks.add(network)
                self._leading.update(_interfaces_to(network))
        return Links(
            has_tunnels=self._has_tunnels,
            names=frozenset(self._names.values()),
            public=self._named(self._public),
            leading=self._named(self._leading),
            hosted_side=hosted_side,
            is_partial=self._is_partial,
        )

    def _named(self, indices: Iterable[int]) -> frozenset[str]:
        return frozenset(self._names[index] for index in indices if index in self._names)


def _numbers(peers: Iterable[str]) -> list[int]:
    """Return the addresses as numbers.

    Left out is what is no address: another program may have loaded a connection under a name of the
    portal with `%any` or a range.
    """
    numbers = []
    for peer in peers:
        with suppress(ValueError):
            numbers.append(number(peer))
    return numbers


def _contains(ascending: array[int], value: int) -> bool:
    at = bisect_left(ascending, value)
    return at < len(ascending) and ascending[at] == value


def _interfaces_to(network: IPv4Network) -> Iterator[int]:
    """Yield the indices of the interfaces that lead to a network by a route of its own.

    The default route does not count: it also carries the packets for a network whose route is
    missing, for example because its interface is down. On the public side they would leave
    unencrypted.
    """
    # The gateway may itself have any address of the network but the broadcast address.
    with suppress(OSError):
        body = look_up_route(str(network.broadcast_address), flags=RTM_F_FIB_MATCH)
        destination_length = body[1]
        if destination_length:
            attributes = parse_attributes(body[ROUTE_MESSAGE.size :])
            if RTA_OIF in attributes:
                yield struct.unpack("=I", attributes[RTA_OIF])[0]
            yield from _next_hops(attributes.get(RTA_MULTIPATH, b""))


def _next_hops(raw: bytes) -> Iterator[int]:
    """Yield the interfaces of a route with several next hops."""
    while len(raw) >= NEXT_HOP.size:
        length, _, _, index = NEXT_HOP.unpack_from(raw)
        yield index
        raw = raw[max((length + 3) & ~3, NEXT_HOP.size) :]
