"""Translated flows in conntrack: read, and deleted by translation and zone."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from tests.running_portal import laboratory_prefix
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.gateway.netfilter.conntrack import MAX_FILTERS, Conntrack
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)

# Linux 6.12 began to delete by filter, so the kernels of both planes are of interest.
pytestmark = [pytest.mark.userland, pytest.mark.debian13]

PREFIX = laboratory_prefix("f")
SERVER, OTHER_SERVER = "10.2.0.10", "10.2.0.11"
TRANSLATIONS = {"10.1.255.92": "192.168.10.15", "10.1.255.93": "192.168.10.16"}
FIRST, SECOND = TRANSLATIONS
# Packets with this mark are in the conntrack zone of the same number.
ZONE = 7
RULES = f"""table ip t {{
    map inbound {{ type ipv4_addr : ipv4_addr; elements = {{
        {", ".join(f"{internal} : {customer}" for internal, customer in TRANSLATIONS.items())} }} }}
    map outbound {{ type ipv4_addr : ipv4_addr; elements = {{
        {", ".join(f"{customer} : {internal}" for internal, customer in TRANSLATIONS.items())} }} }}
    chain zones {{ type filter hook output priority -300; meta mark {ZONE} ct zone set {ZONE}; }}
    chain to_customer {{ type nat hook output priority -100; dnat to ip daddr map @inbound; }}
    chain from_customer {{
        type nat hook postrouting priority 100; snat to ip saddr map @outbound; }}
}}"""


def inbound(internal: str, zone: int = 0) -> NatFlows:
    addresses = map(IPv4Address, (internal, TRANSLATIONS[internal]))
    return NatFlows(NatElement(NatMap.INBOUND, *map(int, addresses)), zone)


def outbound(internal: str, zone: int = 0) -> NatFlows:
    addresses = map(IPv4Address, (TRANSLATIONS[internal], internal))
    return NatFlows(NatElement(NatMap.OUTBOUND, *map(int, addresses)), zone)


TRANSLATED = {
    make(internal, zone)
    for make in (inbound, outbound)
    for internal in TRANSLATIONS
    for zone in (0, ZONE)
}


@pytest.fixture
def conntrack() -> Iterator[Conntrack]:
    """Yield the conntrack of a gateway with flows of each kind, pair and zone."""
    addresses = (SERVER, OTHER_SERVER, *TRANSLATIONS.values())
    namespaces.delete(PREFIX)
    try:
        namespaces.make(
            PREFIX, [Host(CONCENTRATOR, "", {"lo": tuple(f"{at}/32" for at in addresses)})], ()
        )
        with enter_namespace(PREFIX, CONCENTRATOR):
            run("nft", RULES)
            run("ip", "route", "add", "10.1.255.92/30", "dev", "lo")
            # The answer to a ping gets the mark of the ping, and so its zone.
            run("sysctl", "-q", "net.ipv4.fwmark_reflect=1")
            for mark in ((), ("-m", str(ZONE))):
                for internal, customer in TRANSLATIONS.items():
                    run("ping", "-c", "1", *mark, "-I", SERVER, internal)
                    run("ping", "-c", "1", *mark, "-I", customer, SERVER)
            run("ping", "-c", "1", "-I", SERVER, OTHER_SERVER)
            yield Conntrack(NetlinkSocket())
    finally:
        namespaces.delete(PREFIX)


# Above MAX_FILTERS, and on older kernels, the portal searches for the flows.
@pytest.mark.parametrize("unused_count", [0, MAX_FILTERS])
def test_flows_are_deleted_by_translation_and_zone(conntrack: Conntrack, unused_count: int):
    unused = [NatFlows(NatElement(NatMap.INBOUND, 1, number)) for number in range(unused_count)]
    assert conntrack.translated_flows() == TRANSLATED
    left = set(TRANSLATED)

    for removed in (
        {inbound(FIRST, ZONE)},
        {outbound(FIRST)},
        {inbound(SECOND), outbound(SECOND), outbound(SECOND, ZONE)},
    ):
        conntrack.delete_flows([*removed, *unused])
        left -= removed
        assert conntrack.translated_flows() == left

    untranslated = rf"src={SERVER} dst={OTHER_SERVER} type=8"
    assert re.search(untranslated, run("conntrack", "-L", "-p", "icmp"))


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
