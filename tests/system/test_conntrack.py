"""Deletion of the flows of removed translations; the flows of all others continue."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from vpnportal.gateway.netfilter import conntrack
from vpnportal.gateway.netfilter.netlink import NetlinkSocket

PREFIX = os.environ.get("VPNPORTAL_LAB", "vt") + "f"
SERVERS = ("10.2.0.10", "10.2.0.11")
CUSTOMERS = ("10.1.255.92", "10.1.255.93")
ALL = {(server, customer) for server in SERVERS for customer in CUSTOMERS}
TRACK = "table ip t { chain c { type filter hook output priority 0; ct state new accept; }; }"
# Translations without a flow: above BATCH the portal reads the flows in another way.
MANY = 2 * conntrack.BATCH_SIZE


@pytest.fixture
def tracking() -> Iterator[None]:
    """Yield in a gateway that tracks a flow between each server and each customer."""
    addresses = tuple(f"{address}/32" for address in SERVERS + CUSTOMERS)
    namespaces.delete(PREFIX)
    try:
        namespaces.make(PREFIX, [Host(CONCENTRATOR, "", {"lo": addresses})], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            run("nft", TRACK)
            for server, customer in ALL:
                run("ping", "-c", "1", "-I", server, customer)
            yield
    finally:
        namespaces.delete(PREFIX)


@pytest.mark.parametrize("unused_count", [0, MANY])
def test_only_flows_that_started_at_a_removed_address_are_deleted(tracking, unused_count):
    unused = [int(IPv4Address("10.99.0.0")) + n for n in range(unused_count)]
    connections = conntrack.Conntrack(NetlinkSocket())
    assert tracked_flows() == ALL

    connections.delete_flows([int(IPv4Address(CUSTOMERS[0])), *unused], unused)
    assert tracked_flows() == {(server, CUSTOMERS[1]) for server in SERVERS}

    connections.delete_flows(unused, [int(IPv4Address(SERVERS[0])), *unused])
    assert tracked_flows() == {(SERVERS[1], CUSTOMERS[1])}


def tracked_flows() -> set[tuple[str, str]]:
    """Return the source and destination of each flow."""
    return set(re.findall(r"src=(\S+) dst=(\S+) type=8", run("conntrack", "-L")))


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
