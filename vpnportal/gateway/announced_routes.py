"""Announced routes: kernel routes that a routing daemon exports, so that servers reach tunnels.

Their protocol number tells them from all other routes. They are of the type *unreachable*:
translation changes the destination before the kernel looks for a route. So they answer only packets
to an address without a translation (docs/decisions/033-routes-of-a-gateway.md). Messages:
linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

from vpnportal.domain.addresses import dotted, number
from vpnportal.gateway import rtnetlink
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netlink_messages import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    attribute,
    parse_attributes,
)

# The portal's number among the protocols of /etc/iproute2/rt_protos.
PROTOCOL = 171
# An operator's own route to the same network has the metric 0, and is preferred.
METRIC = 171

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTMGRP_IPV4_ROUTE = 0x40
RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RTN_UNREACHABLE = 254, 0, 7
RTA_DST, RTA_PRIORITY = 1, 6
# struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
ROUTE_MESSAGE = struct.Struct("=8BI")
NO_ADDRESS = bytes(4)


class AnnouncedRoutes:
    """The announced routes in this process's network namespace, as texts such as 10.1.255.92/30.

    Its methods raise GatewayError if the kernel does not answer or refuses.
    """

    def __init__(self) -> None:
        self._reports = rtnetlink.ChangeReports(RTMGRP_IPV4_ROUTE)
        self._cached: set[str] | None = None

    def read(self, among: frozenset[str] | None = None) -> frozenset[str]:
        """Return the announced routes, or those of them that are in `among`.

        The kernel is asked for all routes once, and reports each change later.
        """
        try:
            reports = self._reports.read()
            if reports is None or self._cached is None:
                self._cached = None
                self._cached = _dump()
            # A report of a change before the dump says nothing new: the last report counts.
            for report in reports or ():
                _note(self._cached, report)
        except OSError as error:
            raise GatewayError(f"the gateway's routes cannot be read: {error}.") from error
        return frozenset(self._cached) if among is None else among.intersection(self._cached)


def add_routes(routes: Iterable[str]) -> None:
    """Add announced routes. A route that exists already is left as it is."""
    _change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, routes, errno.EEXIST)


def remove_routes(routes: Iterable[str]) -> None:
    """Remove announced routes. A route that does not exist counts as removed."""
    _change(RTM_DELROUTE, 0, routes, errno.ESRCH)


def _change(kind: int, flags: int, routes: Iterable[str], done_already: int) -> None:
    try:
        rtnetlink.change(kind, flags, map(_encode, routes), (0, done_already))
    except OSError as error:
        raise GatewayError(f"the kernel refused to change a route: {error}.") from error


def _dump() -> set[str]:
    routes: set[str] = set()
    for message in rtnetlink.dump(RTM_GETROUTE, _header(0)):
        _note(routes, message)
    return routes


def _note(routes: set[str], message: Message) -> None:
    """Add the route in a message to `routes`, or discard it if the kernel reports its removal."""
    body = message.body
    # The header of an announced route differs only in the length of its destination.
    if body[: ROUTE_MESSAGE.size] != _header(body[1]):
        return
    attributes = parse_attributes(body[ROUTE_MESSAGE.size :])
    if attributes.get(RTA_PRIORITY) == _METRIC_BYTES:
        address = int.from_bytes(attributes.get(RTA_DST, NO_ADDRESS), "big")
        route = f"{dotted(address)}/{body[1]}"
        (routes.discard if message.kind == RTM_DELROUTE else routes.add)(route)


def _encode(route: str) -> bytes:
    address, _, length = route.partition("/")
    destination = attribute(RTA_DST, number(address).to_bytes(4, "big"))
    return _header(int(length)) + destination + attribute(RTA_PRIORITY, _METRIC_BYTES)


_METRIC_BYTES = struct.pack("=I", METRIC)


def _header(length: int) -> bytes:
    place = (RT_TABLE_MAIN, PROTOCOL, RT_SCOPE_UNIVERSE, RTN_UNREACHABLE)
    return ROUTE_MESSAGE.pack(socket.AF_INET, length, 0, 0, *place, 0)
