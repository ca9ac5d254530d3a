"""Tracked connections of translations that are gone, ended over netlink.

The packets of a flow are translated as its first one was, whatever the maps hold now. The messages:
linux/netfilter/nfnetlink_conntrack.h, and netlink.py for their form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from vpnportal.gateway.netfilter.netlink import (
    NESTED,
    NFPROTO_IPV4,
    NLM_F_ACK,
    NLM_F_DUMP,
    OURS,
    NetlinkSocket,
    attribute,
    attributes,
    message,
)

GET_FLOWS, DELETE_FLOWS = (1 << 8) | 1, (1 << 8) | 2
# enum ctattr_type, ctattr_tuple, ctattr_ip and ctattr_filter.
ORIGINAL, ID, ZONE, FILTER = 1, 12, 18, 25
# The numbers of the two sides are the filter's flags for them as well.
TUPLE_IP, SOURCE, DESTINATION = 1, 1, 2
FILTER_ORIGINAL, FILTER_REPLY = 1, 2
NOTHING = bytes(4)
# A deletion by address counts for one address family where the request says version 1.
OF_ONE_FAMILY = struct.pack("!BBH", NFPROTO_IPV4, 1, 0)
# A deletion by address goes through the kernel's whole table, but past what is empty, in a sixth of
# the time that it takes to be told the table; that grows with the flows, too.
BY_ADDRESS = 10
# Requests sent before their answers are read; far less than a socket's buffer holds.
BATCH = 64


def delete_flows(link: NetlinkSocket, destinations: Iterable[int], sources: Iterable[int]) -> None:
    """Forget the flows that began towards, or from, one of these addresses."""
    to, origins = frozenset(destinations), frozenset(sources)
    if len(to) + len(origins) > BY_ADDRESS:
        _delete(link, list(_named(link, to, origins)))
        return
    requests = [_by_address(DESTINATION, one) for one in to]
    _delete(link, requests + [_by_address(SOURCE, one) for one in origins], OF_ONE_FAMILY)


def _by_address(side: int, address: int) -> bytes:
    """All flows whose first packet had this address on that side; a kernel since 5.8 filters."""
    ip = attribute(side, address.to_bytes(4, "big"))
    flags = attribute(FILTER_ORIGINAL, struct.pack("=I", side))
    return attribute(ORIGINAL | NESTED, attribute(TUPLE_IP | NESTED, ip)) + attribute(
        FILTER | NESTED, flags + attribute(FILTER_REPLY, NOTHING)
    )


def _named(link: NetlinkSocket, to: frozenset[int], origins: frozenset[int]) -> Iterator[bytes]:
    """What names each flow to or from one of these addresses, found in the whole table."""
    with link:
        link.send(0, GET_FLOWS, NLM_F_DUMP, b"")
        for _, body in link.answers():
            flow = attributes(body)
            ip = attributes(attributes(flow[ORIGINAL])[TUPLE_IP])
            source, destination = (
                int.from_bytes(ip.get(side, b""), "big") for side in (SOURCE, DESTINATION)
            )
            if source in origins or destination in to:
                zone = attribute(ZONE, flow[ZONE]) if ZONE in flow else b""
                yield attribute(ORIGINAL | NESTED, flow[ORIGINAL]) + attribute(ID, flow[ID]) + zone


def _delete(link: NetlinkSocket, requests: list[bytes], about: bytes = OURS) -> None:
    with link:
        for at in range(0, len(requests), BATCH):
            batch = requests[at : at + BATCH]
            for request in batch:
                link.send_together([message(0, DELETE_FLOWS, NLM_F_ACK, request, about)])
            list(link.answers(len(batch)))
