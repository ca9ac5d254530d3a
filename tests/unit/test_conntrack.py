"""Deletion of flows by a kernel that deletes by filter, and by an older one."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.gateway.netfilter import conntrack
from vpnportal.gateway.netfilter.conntrack import Conntrack
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
    RefusedRequest,
)
from vpnportal.gateway.netlink_messages import (
    NESTED,
    attribute,
    parse_attributes,
)

SERVER, INTERNAL, CUSTOMER = (
    int(IPv4Address(text)) for text in ("10.2.0.10", "10.1.255.92", "192.168.10.15")
)
TO_CUSTOMER = NatElement(NatMap.INBOUND, INTERNAL, CUSTOMER)
FROM_CUSTOMER = NatElement(NatMap.OUTBOUND, CUSTOMER, INTERNAL)


def flow(
    original: tuple[int, int], reply: tuple[int, int], status: int, identity: int, zone: int = 0
) -> bytes:
    """Return a flow as the kernel dumps it; the tuples are source and destination."""
    return b"".join(
        (
            encoded_tuple(conntrack.ORIGINAL, *original),
            encoded_tuple(conntrack.REPLY, *reply),
            attribute(conntrack.ZONE, zone.to_bytes(2, "big")) if zone else b"",
            attribute(conntrack.STATUS, struct.pack("!I", status | 0x10E)),
            attribute(conntrack.ID, struct.pack("!I", identity)),
        )
    )


def encoded_tuple(kind: int, source: int, destination: int) -> bytes:
    sides = ((conntrack.SOURCE, source), (conntrack.DESTINATION, destination))
    addresses = b"".join(attribute(side, at.to_bytes(4, "big")) for side, at in sides)
    ports = attribute(2 | NESTED, attribute(1, b"\x11"))
    return attribute(kind | NESTED, attribute(conntrack.TUPLE_IP | NESTED, addresses) + ports)


def flows_in_zone(zone: int, identity: int) -> dict[int, bytes]:
    """Return a flow to the customer, one from the customer, and one that is not translated."""
    there, back = (SERVER, INTERNAL), (CUSTOMER, SERVER)
    begun, answered = (CUSTOMER, SERVER), (SERVER, INTERNAL)
    return {
        identity: flow(there, back, conntrack.DESTINATION_NAT, identity, zone),
        identity + 1: flow(begun, answered, conntrack.SOURCE_NAT, identity + 1, zone),
        identity + 2: flow((SERVER, CUSTOMER), (CUSTOMER, SERVER), 0, identity + 2, zone),
    }


class OldKernel(NetlinkSocket):
    """A kernel with flows in zones 0 and 7 that does not delete by filter."""

    refusal = errno.EINVAL

    def __init__(self) -> None:
        self.flows = flows_in_zone(0, 1) | flows_in_zone(7, 11)
        self.refused_count = 0
        self._request = ""

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
        assert kind == conntrack.GET_FLOWS
        self._request = "dump"

    def send_together(self, messages) -> None:
        (message,) = messages
        fields = parse_attributes(message[20:])
        self._request = "delete"
        if conntrack.ID in fields:
            del self.flows[int.from_bytes(fields[conntrack.ID], "big")]
        else:
            self._request = "refuse"

    def replies(self, requests: int = 1, accepted_codes=()) -> Iterator[tuple[int, bytes]]:
        if self._request == "refuse":
            self.refused_count += 1
            raise RefusedRequest(self.refusal)
        if self._request == "dump":
            yield from ((0, body) for body in self.flows.values())


def test_an_old_kernel_is_asked_once_and_its_flows_are_deleted_one_by_one():
    kernel = OldKernel()
    connections = Conntrack(kernel)

    connections.delete_flows([NatFlows(TO_CUSTOMER)])
    assert set(kernel.flows) == {2, 3, 11, 12, 13}
    assert kernel.refused_count == 1

    connections.delete_flows([NatFlows(FROM_CUSTOMER, zone=7), NatFlows(TO_CUSTOMER, zone=7)])
    assert set(kernel.flows) == {2, 3, 13}
    assert kernel.refused_count == 1


def test_only_translated_flows_are_read_each_with_its_zone():
    assert Conntrack(OldKernel()).translated_flows() == {
        NatFlows(element, zone) for element in (TO_CUSTOMER, FROM_CUSTOMER) for zone in (0, 7)
    }


def test_another_refusal_is_an_error():
    class FullKernel(OldKernel):
        refusal = errno.ENOMEM

    with pytest.raises(RefusedRequest):
        Conntrack(FullKernel()).delete_flows([NatFlows(TO_CUSTOMER)])


def test_of_removed_elements_only_those_that_may_have_flows_are_searched(monkeypatch):
    asked = []

    def may_have_flows(record, pairs, gateway):
        asked.append((pairs, gateway))
        return {(INTERNAL, CUSTOMER)}

    monkeypatch.setattr(conntrack.UsageRecord, "may_have_flows", may_have_flows)
    removed = {NatFlows(TO_CUSTOMER), NatFlows(NatElement(NatMap.INBOUND, INTERNAL, 1))}
    left_over = {NatFlows(FROM_CUSTOMER, zone=7)}
    deleted = []
    connections = Conntrack(OldKernel())
    monkeypatch.setattr(connections, "delete_flows", deleted.extend)

    connections.end_flows(removed, left_over, (SERVER,))

    assert asked == [({(INTERNAL, CUSTOMER), (INTERNAL, 1)}, (SERVER,))]
    assert deleted == [NatFlows(TO_CUSTOMER), *left_over]
