"""Deletion of conntrack entries of removed translations, over netlink.

conntrack translates all packets of a flow like its first packet, even after the maps have changed.
Messages: linux/netfilter/nfnetlink_conntrack.h; for their format see netlink.py.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator

from vpnportal.gateway.netfilter.netlink import (
    IPV4_HEADER,
    NESTED,
    NFPROTO_IPV4,
    NLM_F_ACK,
    NLM_F_DUMP,
    NetlinkSocket,
    RefusedRequest,
    attribute,
    message,
    parse_attributes,
)

GET_FLOWS, DELETE_FLOWS = (1 << 8) | 1, (1 << 8) | 2
# enum ctattr_type, ctattr_tuple, ctattr_ip and ctattr_filter.
ORIGINAL, ID, ZONE, FILTER = 1, 12, 18, 25
# The attribute types of source and destination are also the filter's flags for them.
TUPLE_IP, SOURCE, DESTINATION = 1, 1, 2
FILTER_ORIGINAL, FILTER_REPLY = 1, 2
NO_FLAGS = bytes(4)
# struct nfgenmsg of version 1: the kernel then deletes in one address family only.
FILTERED_HEADER = struct.pack("!BBH", NFPROTO_IPV4, 1, 0)
# A deletion by address walks the kernel's whole table but skips its empty parts: 1.5 to 3 ms for
# each address. A dump takes 10 ms, and more with more flows (docs/decisions/014).
MAX_FILTERED_DELETIONS = 10
# Refusals of a kernel that does not delete by filter: it requires the whole tuple of one flow.
NO_DELETION_BY_FILTER = (errno.EINVAL, errno.EOPNOTSUPP)
# Requests sent before their replies are read. A socket's buffer holds far more.
BATCH_SIZE = 64


class Conntrack:
    """The conntrack entries of this process's network namespace."""

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        # Linux 6.12 began to delete by filter. An older kernel is asked once per process.
        self._deletes_by_filter = True

    def delete_flows(self, destinations: Iterable[int], sources: Iterable[int]) -> None:
        """Delete conntrack entries by the addresses of the first packet of their flow.

        An entry is deleted if that packet went to one of `destinations` or came from one of
        `sources`. Raises GatewayError if the kernel does not answer or refuses.
        """
        to, origins = frozenset(destinations), frozenset(sources)
        if not to and not origins:
            return
        if self._deletes_by_filter and len(to) + len(origins) <= MAX_FILTERED_DELETIONS:
            requests = [_address_filter(DESTINATION, address) for address in to]
            requests += [_address_filter(SOURCE, address) for address in origins]
            try:
                _delete(self._link, requests, FILTERED_HEADER)
                return
            except RefusedRequest as refusal:
                if refusal.code not in NO_DELETION_BY_FILTER:
                    raise
                self._deletes_by_filter = False
        _delete(self._link, list(_find_flows(self._link, to, origins)))


def _address_filter(side: int, address: int) -> bytes:
    """Return the attributes that select flows by one address of their first packet.

    `side` is SOURCE or DESTINATION. The kernel has this filter for dumps since Linux 5.8, and for
    deletions since Linux 6.12 (commit 1ef7f50ccc6e).
    """
    ip = attribute(side, address.to_bytes(4, "big"))
    flags = attribute(FILTER_ORIGINAL, struct.pack("=I", side))
    return attribute(ORIGINAL | NESTED, attribute(TUPLE_IP | NESTED, ip)) + attribute(
        FILTER | NESTED, flags + attribute(FILTER_REPLY, NO_FLAGS)
    )


def _find_flows(
    link: NetlinkSocket, to: frozenset[int], origins: frozenset[int]
) -> Iterator[bytes]:
    """Yield the identifying attributes of each flow to an address in `to` or from one in `origins`.

    Reads a dump of all flows.
    """
    with link:
        link.send(0, GET_FLOWS, NLM_F_DUMP, b"")
        for _, body in link.replies():
            flow = parse_attributes(body)
            ip = parse_attributes(parse_attributes(flow[ORIGINAL])[TUPLE_IP])
            source, destination = (
                int.from_bytes(ip.get(side, b""), "big") for side in (SOURCE, DESTINATION)
            )
            if source in origins or destination in to:
                zone = attribute(ZONE, flow[ZONE]) if ZONE in flow else b""
                yield attribute(ORIGINAL | NESTED, flow[ORIGINAL]) + attribute(ID, flow[ID]) + zone


def _delete(link: NetlinkSocket, requests: list[bytes], family_header: bytes = IPV4_HEADER) -> None:
    with link:
        for at in range(0, len(requests), BATCH_SIZE):
            batch = requests[at : at + BATCH_SIZE]
            for request in batch:
                link.send_together([message(0, DELETE_FLOWS, NLM_F_ACK, request, family_header)])
            list(link.replies(len(batch)))
