"""Deletion of conntrack entries by a kernel that deletes by filter, and by an older one."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from vpnportal.gateway.netfilter import conntrack
from vpnportal.gateway.netfilter.conntrack import Conntrack
from vpnportal.gateway.netfilter.netlink import (
    NESTED,
    NetlinkSocket,
    RefusedRequest,
    attribute,
    parse_attributes,
)

SERVER, INTERNAL, OTHER = (
    int(IPv4Address(text)) for text in ("10.2.0.10", "10.1.255.92", "10.1.255.93")
)


class Kernel(NetlinkSocket):
    """A kernel with two flows that knows, or does not know, deletion by filter."""

    def __init__(self, deletes_by_filter: bool) -> None:
        self.flows = {1: flow(1, SERVER, INTERNAL), 2: flow(2, SERVER, OTHER)}
        self.refused = 0
        self._deletes_by_filter = deletes_by_filter
        self._dumps = self._refuses = False

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
        assert kind == conntrack.GET_FLOWS
        self._dumps = True

    def send_together(self, messages) -> None:
        (message,) = messages
        fields = parse_attributes(message[20:])
        if conntrack.ID in fields:
            del self.flows[int.from_bytes(fields[conntrack.ID], "big")]
        elif not self._deletes_by_filter:
            self._refuses = True

    def replies(self, requests: int = 1, accepted_codes=()) -> Iterator[tuple[int, bytes]]:
        if self._dumps:
            self._dumps = False
            yield from ((0, body) for body in self.flows.values())
        elif self._refuses:
            self._refuses = False
            self.refused += 1
            raise RefusedRequest(errno.EINVAL)


def flow(identity: int, source: int, destination: int) -> bytes:
    addresses = b"".join(
        attribute(side, address.to_bytes(4, "big"))
        for side, address in ((conntrack.SOURCE, source), (conntrack.DESTINATION, destination))
    )
    ip = attribute(conntrack.TUPLE_IP | NESTED, addresses)
    return attribute(conntrack.ORIGINAL | NESTED, ip) + attribute(
        conntrack.ID, struct.pack("!I", identity)
    )


def test_a_kernel_without_deletion_by_filter_is_asked_once_and_flows_are_deleted_one_by_one():
    kernel = Kernel(deletes_by_filter=False)
    connections = Conntrack(kernel)

    connections.delete_flows([INTERNAL], [])
    assert set(kernel.flows) == {2}
    asked, kernel.refused = kernel.refused, 0

    connections.delete_flows([OTHER], [])
    assert not kernel.flows
    assert (asked, kernel.refused) == (1, 0)


def test_another_refusal_is_an_error():
    class Full(Kernel):
        def replies(self, requests: int = 1, accepted_codes=()) -> Iterator[tuple[int, bytes]]:
            raise RefusedRequest(errno.ENOMEM)

    with pytest.raises(RefusedRequest):
        Conntrack(Full(deletes_by_filter=True)).delete_flows([INTERNAL], [])
