"""Translated flows in conntrack: read, and deleted after their translation was removed.

conntrack translates all packets of a flow like its first packet, even after the maps have changed.
Messages: linux/netfilter/nfnetlink_conntrack.h; for their format see netlink_messages.py.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows, flows_without_element
from vpnportal.gateway.netfilter.netlink import (
    IPV4_HEADER,
    NFPROTO_IPV4,
    NetlinkSocket,
    RefusedRequest,
    message,
)
from vpnportal.gateway.netfilter.usage_record import UsageRecord
from vpnportal.gateway.netlink_messages import (
    BATCH_SIZE,
    NESTED,
    NLM_F_ACK,
    NLM_F_DUMP,
    attribute,
    parse_attributes,
)

GET_FLOWS, DELETE_FLOWS = (1 << 8) | 1, (1 << 8) | 2
# enum ctattr_type, ctattr_tuple, ctattr_ip and ctattr_filter.
ORIGINAL, REPLY, STATUS, ID, ZONE, FILTER = 1, 2, 3, 12, 18, 25
# The attribute types of source and destination are also the filter's flags for them.
TUPLE_IP, SOURCE, DESTINATION = 1, 1, 2
FILTER_ORIGINAL, FILTER_REPLY = 1, 2
# enum ip_conntrack_status: the source or the destination of the first packet was translated.
SOURCE_NAT, DESTINATION_NAT = 0x10, 0x20
# struct nfgenmsg of version 1: the kernel then deletes in one address family only.
FILTERED_HEADER = struct.pack("!BBH", NFPROTO_IPV4, 1, 0)
# The kernel writes a tuple with the addresses first: length, headers, source, header, destination.
TUPLE, ATTRIBUTE = struct.Struct("=H10x4s4x4s"), struct.Struct("=HH")
KEY, NO_ZONE = struct.Struct("!IIH"), bytes(2)
# A filter walks the kernel's whole table, but skips its empty parts: 1.5 to 3 ms for each element.
# A dump takes 10 ms, and more with more flows.
MAX_FILTERS = 10
# Refusals of a kernel that does not delete by filter: it requires the whole tuple of one flow.
NO_DELETION_BY_FILTER = (errno.EINVAL, errno.EOPNOTSUPP)


# The map that translated a flow; then key, value and zone of its element, as in the message.
FlowKey: TypeAlias = "tuple[NatMap, bytes]"


class Conntrack:
    """The conntrack entries of this process's network namespace.

    Its methods raise GatewayError if the kernel does not answer or refuses.
    """

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        self._record = UsageRecord(link)
        # Linux 6.12 began to delete by filter. An older kernel is asked once per process.
        self._deletes_by_filter = True

    def leftover_flows(
        self, elements: NatElements, internal: Container[int]
    ) -> frozenset[NatFlows]:
        """Return the flows of `internal` addresses that none of the `elements` translates.

        Flows of other addresses belong to another program's rules. Without `internal` addresses,
        nothing is read.
        """
        flows = flows_without_element(self.translated_flows(), elements) if internal else ()
        return frozenset(item for item in flows if item.pair[0] in internal)

    def translated_flows(self) -> frozenset[NatFlows]:
        """Return the flows that were translated, by this or by another program's rules."""
        keys: set[FlowKey] = set()
        for body in self._dump(b""):
            keys.update(_keys(body))
        return frozenset(map(_decode, keys))

    def zones(self) -> frozenset[int]:
        """Return the zones that have a flow; 0 for flows without a zone."""
        zones = (parse_attributes(body).get(ZONE, NO_ZONE) for body in self._dump(b""))
        return frozenset(int.from_bytes(zone, "big") for zone in zones)

    def end_flows(
        self,
        removed: Iterable[NatFlows],
        left_over: Iterable[NatFlows],
        gateway: Container[int],
    ) -> None:
        """Delete the flows of removed elements, and flows that outlived an earlier removal.

        Call it after the removal. An element whose pair the usage set rules out needs no search in
        conntrack. `gateway` has the gateway's addresses.
        """
        candidates = tuple(removed)
        pairs = self._record.may_have_flows({flows.pair for flows in candidates}, gateway)
        found = (flows for flows in candidates if flows.pair in pairs)
        self.delete_flows([*found, *left_over])

    def delete_flows(self, flows: Iterable[NatFlows]) -> None:
        """Delete these flows, each in its zone only."""
        removed = frozenset(flows)
        if not removed:
            return
        filters = [_filter(item) for item in removed] if len(removed) <= MAX_FILTERS else []
        if filters and self._deletes_by_filter:
            try:
                self._delete(filters, FILTERED_HEADER)
                return
            except RefusedRequest as refusal:
                if refusal.code not in NO_DELETION_BY_FILTER:
                    raise
                self._deletes_by_filter = False
        identities = self._identities(frozenset(map(_encode, removed)), filters or [b""])
        # Two filters of a kernel that ignores zones select the same flow.
        self._delete(list(dict.fromkeys(identities)))

    def _identities(self, keys: frozenset[FlowKey], selections: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the identifying attributes of each flow with one of these keys."""
        for selection in selections:
            for body in self._dump(selection):
                if not keys.isdisjoint(_keys(body)):
                    yield _identity(body)

    def _dump(self, selection: bytes) -> Iterator[bytes]:
        """Yield the attributes of each flow that the encoded filter selects, or of all flows."""
        with self._link as link:
            link.send(0, GET_FLOWS, NLM_F_DUMP, selection)
            for _, body in link.replies():
                yield body

    def _delete(self, requests: list[bytes], family_header: bytes = IPV4_HEADER) -> None:
        with self._link as link:
            for at in range(0, len(requests), BATCH_SIZE):
                batch = requests[at : at + BATCH_SIZE]
                for body in batch:
                    link.send_together([message(0, DELETE_FLOWS, NLM_F_ACK, body, family_header)])
                list(link.replies(len(batch)))


def _filter(flows: NatFlows) -> bytes:
    """Return the attributes that select flows by their addresses before and after the translation.

    The kernel has this filter for dumps since Linux 5.8, and for deletions since Linux 6.12
    (commit 1ef7f50ccc6e). Before Linux 6.9 it ignores the zone.
    """
    kind, key, value = flows.element
    # A reply goes the other way: it comes from the address that the flow's destination became.
    before, after = (DESTINATION, SOURCE) if kind is NatMap.INBOUND else (SOURCE, DESTINATION)
    sides = attribute(FILTER_ORIGINAL, struct.pack("=I", before)) + attribute(
        FILTER_REPLY, struct.pack("=I", after)
    )
    return (
        _tuple_with(ORIGINAL, before, key)
        + _tuple_with(REPLY, after, value)
        + attribute(ZONE, flows.zone.to_bytes(2, "big"))
        + attribute(FILTER | NESTED, sides)
    )


def _tuple_with(kind: int, side: int, address: int) -> bytes:
    ip = attribute(TUPLE_IP | NESTED, attribute(side, address.to_bytes(4, "big")))
    return attribute(kind | NESTED, ip)


def _keys(body: bytes) -> list[FlowKey]:
    """Return the keys of the elements that translated a flow: none, one, or one of each map."""
    length, source, destination = TUPLE.unpack_from(body)
    at = length + 3 & ~3
    length, reply_source, reply_destination = TUPLE.unpack_from(body, at)
    at += length + 3 & ~3
    zone = NO_ZONE
    length, kind = ATTRIBUTE.unpack_from(body, at)
    while kind != STATUS:
        if kind == ZONE:
            zone = body[at + 4 : at + 6]
        at += length + 3 & ~3
        length, kind = ATTRIBUTE.unpack_from(body, at)
    status = body[at + 7]
    keys = []
    if status & DESTINATION_NAT:
        keys.append((NatMap.INBOUND, destination + reply_source + zone))
    if status & SOURCE_NAT:
        keys.append((NatMap.OUTBOUND, source + reply_destination + zone))
    return keys


def _identity(body: bytes) -> bytes:
    """Return the attributes by which the kernel finds a flow, and no later one with its tuple."""
    flow = parse_attributes(body)
    zone = attribute(ZONE, flow[ZONE]) if ZONE in flow else b""
    return attribute(ORIGINAL | NESTED, flow[ORIGINAL]) + attribute(ID, flow[ID]) + zone


def _encode(flows: NatFlows) -> FlowKey:
    return flows.element.map, KEY.pack(flows.element.key, flows.element.value, flows.zone)


def _decode(key: FlowKey) -> NatFlows:
    kind, raw = key
    address, value, zone = KEY.unpack(raw)
    return NatFlows(NatElement(kind, address, value), zone)
