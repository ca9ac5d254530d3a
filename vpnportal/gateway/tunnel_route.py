"""The route into tunnels: carries packets for which the gateway has no other route.

The kernel looks for the IPsec policy of a packet only after it has found a route. charon can make
one for each remote network, but tunnels with equal networks would share it. Here two policy rules
serve all tunnels. Their table has a default route. The policy then replaces this route: the ESP
packet gets a route of its own.

- The packets of servers, with the mark of a tunnel, use it after the tables *main* and *default*.
- The gateway's own packets to a customer use it before *main*. An error about a packet whose source
  was translated has the internal address as its destination, until the kernel translates it back.
  *main* has an unreachable route to that address.

See docs/decisions/033-routes-of-a-gateway.md. Messages: linux/fib_rules.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network

from vpnportal.domain.gateway_config.compile import MARK_BITS
from vpnportal.gateway import rtnetlink
from vpnportal.gateway.announced_routes import (
    PROTOCOL,
    ROUTE_MESSAGE,
    RTA_DST,
    RTM_GETROUTE,
    RTM_NEWROUTE,
)
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter.ruleset import DECRYPTED_MARK
from vpnportal.gateway.netlink_messages import NLM_F_CREATE, NLM_F_EXCL, attribute, parse_attributes

# The preferences of the rules, before main (32766) and after default (32767), and their table.
OWN_PREFERENCE, PREFERENCE, TABLE = 32_700, 32_900, 4242

RTM_NEWRULE, RTM_GETRULE = 32, 34
FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK = 3, 6, 10, 15, 16
FR_ACT_TO_TBL, FIB_RULE_INVERT = 1, 2
RTA_OIF, RTA_TABLE, RTN_UNICAST, RT_SCOPE_LINK = 4, 15, 1, 253
RTA_MARK = 16
# Types of routes that refuse packets, by the error of a lookup (RTN_UNREACHABLE and others).
REFUSALS = {
    errno.EHOSTUNREACH: "unreachable",
    errno.EINVAL: "blackhole",
    errno.EACCES: "prohibit",
}
# Peers that are tried. One of them has a route, unless the gateway has no public side.
MAX_PEERS = 10


def has_tunnel_route() -> bool:
    """Return True if the rules and a route in their table exist.

    Raises GatewayError if the kernel does not answer.
    """
    try:
        return _has_rules() and count_routes(TABLE, PROTOCOL) > 0
    except OSError as error:
        raise GatewayError(f"the gateway's routes cannot be read: {error}.") from error


def count_routes(table: int, protocol: int = 0) -> int:
    """Return the number of routes in a table, if `protocol` is not 0 those of this protocol.

    Raises GatewayError if the kernel does not answer.
    """
    route = ROUTE_MESSAGE.pack(socket.AF_INET, 0, 0, 0, 0, protocol, 0, RTN_UNICAST, 0)
    request = route + attribute(RTA_TABLE, struct.pack("=I", table))
    try:
        return sum(1 for _ in rtnetlink.dump(RTM_GETROUTE, request))
    except OSError as error:
        if error.errno == errno.ENOENT:
            # The kernel makes a table with its first route.
            return 0
        raise GatewayError(f"the gateway's routes cannot be read: {error}.") from error


def public_interface(peers: Iterable[str]) -> str:
    """Return the name of the interface that leads to the first peer with a route, or ""."""
    for peer, _ in zip(peers, range(MAX_PEERS), strict=False):
        with suppress(OSError):
            return socket.if_indextoname(_interface_to(peer))
    return ""


def refusing_route(network: IPv4Network) -> str:
    """Return the type of the route that refuses packets into a tunnel to `network`, or "".

    Of the network, the first host is looked up. Raises GatewayError if the kernel does not answer.
    """
    host = network[0] if network.prefixlen > 30 else network[1]
    try:
        look_up_route(str(host), attribute(RTA_MARK, struct.pack("=I", MARK_BITS)))
    except OSError as error:
        if error.errno == errno.ENETUNREACH:
            return ""
        if error.errno in REFUSALS:
            return REFUSALS[error.errno]
        raise GatewayError(f"the gateway's routes cannot be read: {error}.") from error
    return ""


def add_tunnel_route(interface: str) -> None:
    """Add the rules, and a default route over the interface to their table, unless they exist.

    Raises GatewayError if the kernel refuses.
    """
    try:
        index = struct.pack("=I", socket.if_nametoindex(interface))
        place = (PROTOCOL, RT_SCOPE_LINK, RTN_UNICAST)
        route = ROUTE_MESSAGE.pack(socket.AF_INET, 0, 0, 0, 0, *place, 0)
        route += attribute(RTA_TABLE, struct.pack("=I", TABLE))
        route += attribute(RTA_OIF, index)
        create = NLM_F_CREATE | NLM_F_EXCL
        rtnetlink.change(RTM_NEWROUTE, create, [route], (0, errno.EEXIST))
        rtnetlink.change(RTM_NEWRULE, create, _RULES, (0, errno.EEXIST))
    except OSError as error:
        raise GatewayError(f"the kernel refused a route over {interface}: {error}.") from error


def _has_rules() -> bool:
    request = _RULE_HEADER.pack(socket.AF_INET, *[0] * 8)
    listed = [message.body for message in rtnetlink.dump(RTM_GETRULE, request)]
    return all(any(_is_rule(expected, body) for body in listed) for expected in _RULES)


def _is_rule(expected: bytes, listed: bytes) -> bool:
    wanted, found = (parse_attributes(rule[_RULE_HEADER.size :]) for rule in (expected, listed))
    inverts = [_RULE_HEADER.unpack_from(rule)[-1] & FIB_RULE_INVERT for rule in (expected, listed)]
    # The kernel does not list a mark of 0.
    return inverts[0] == inverts[1] and all(
        found.get(kind, _ZERO) == value for kind, value in wanted.items()
    )


def _interface_to(address: str) -> int:
    """Return the index of the interface that leads to an address. Raises OSError without one."""
    reply = look_up_route(address)
    if reply[7] != RTN_UNICAST:
        raise OSError(errno.ENETUNREACH, "the address is the gateway's own")
    index = parse_attributes(reply[ROUTE_MESSAGE.size :])[RTA_OIF]
    return int(struct.unpack("=I", index)[0])


def look_up_route(address: str, attributes: bytes = b"", flags: int = 0) -> bytes:
    """Return the message of the route to an address. Raises OSError without one."""
    header = ROUTE_MESSAGE.pack(socket.AF_INET, 32, *[0] * 6, flags)
    destination = attribute(RTA_DST, socket.inet_aton(address))
    return rtnetlink.lookup(RTM_GETROUTE, header + destination + attributes).body


# struct fib_rule_hdr.
_RULE_HEADER = struct.Struct("=8BI")


def _rule(preference: int, mark: int, mask: int, flags: int = 0, more: bytes = b"") -> bytes:
    header = _RULE_HEADER.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL, flags)
    numbers = (
        (FRA_PRIORITY, preference),
        (FRA_FWMARK, mark),
        (FRA_FWMASK, mask),
        (FRA_TABLE, TABLE),
    )
    attributes = (attribute(kind, struct.pack("=I", value)) for kind, value in numbers)
    return header + b"".join(attributes) + more


_ZERO = bytes(4)
_RULES = (
    # "from all fwmark 0x10000000/0x10000000 iif lo": packets of this machine have the input `lo`.
    _rule(OWN_PREFERENCE, DECRYPTED_MARK, DECRYPTED_MARK, more=attribute(FRA_IIFNAME, b"lo\0")),
    # "not from all fwmark 0/0xffff" selects all other marks.
    _rule(PREFERENCE, 0, MARK_BITS, FIB_RULE_INVERT),
)
