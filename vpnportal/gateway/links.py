"""The gateway's interfaces, and those that lead to the hosted networks."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Network

from vpnportal.domain.planning.hosted_side import Links
from vpnportal.gateway.announced_routes import ROUTE_MESSAGE
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.local_addresses import Addresses
from vpnportal.gateway.netlink_messages import parse_attributes
from vpnportal.gateway.tunnel_route import RTA_OIF, look_up_route


def read_links(
    addresses: Addresses, hosted: Iterable[IPv4Network], hosted_side: frozenset[str]
) -> Links:
    """Return the gateway's interfaces, and those that lead to the `hosted` networks.

    `hosted_side` are the interfaces from which packets may enter a tunnel now. Raises GatewayError
    if the kernel does not answer.
    """
    try:
        names = dict(socket.if_nameindex())
    except OSError as error:
        raise GatewayError(f"the gateway's interfaces cannot be read: {error}.") from error
    nothing = array("I")
    by_name = {name: addresses.by_interface.get(index, nothing) for index, name in names.items()}
    routes = {network: names.get(index, "") for network, index in _interfaces_to(hosted)}
    return Links(by_name, routes, hosted_side)


def _interfaces_to(networks: Iterable[IPv4Network]) -> Iterator[tuple[IPv4Network, int]]:
    """Yield each network to which a route leads, with the index of the route's interface."""
    for network in networks:
        # The gateway may itself have any address of the network but the broadcast address.
        with suppress(OSError, KeyError):
            body = look_up_route(str(network.broadcast_address))
            interface = parse_attributes(body[ROUTE_MESSAGE.size :])[RTA_OIF]
            yield network, int(struct.unpack("=I", interface)[0])
