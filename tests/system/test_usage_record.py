"""The usage set as the kernel keeps it: which removed pairs need no search in conntrack."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, CUSTOMER, SERVER, Host
from tests.running_portal import laboratory_prefix
from tests.tunnel_elements import Tunnel
from tests.usage_age import age_usage_record
from vpnportal.domain.gateway_config.nat_elements import NatElements, packed
from vpnportal.domain.gateway_config.nat_flows import flows_of
from vpnportal.gateway.netfilter import ruleset
from vpnportal.gateway.netfilter.conntrack import Conntrack
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netfilter.nft_table import NftTable
from vpnportal.gateway.netfilter.usage_record import UsageRecord
from vpnportal.gateway.netfilter.usage_set import read_usage_set

# The machine's own kernel and that of the kernel plane differ in nftables and conntrack.
pytestmark = pytest.mark.userland
PREFIX = laboratory_prefix("u")
# The tunnel is a wire with the name of charon's device: the packets on it are decrypted.
TUNNEL = ruleset.DEVICE
HOSTS = (
    Host(SERVER, "", {"hosted": ("10.2.0.10/24",)}, ("default via 10.2.0.1",)),
    Host(
        CONCENTRATOR,
        "",
        {"hosted": ("10.2.0.1/24",), TUNNEL: ("192.168.10.1/24",)},
        forwards=True,
    ),
    Host(
        CUSTOMER,
        "",
        {TUNNEL: ("192.168.10.15/24", "192.168.10.16/24")},
        ("default via 192.168.10.1",),
    ),
)
WIRES = ((SERVER, CONCENTRATOR, "hosted"), (CONCENTRATOR, CUSTOMER, TUNNEL))
FIRST, SECOND = (
    (int(IPv4Address(internal)), int(IPv4Address(customer)))
    for internal, customer in (("10.1.255.92", "192.168.10.15"), ("10.1.255.93", "192.168.10.16"))
)
BOTH = {FIRST, SECOND}
MARK = 7
ELEMENTS = NatElements.of_tunnels(
    [Tunnel(MARK, [packed(*pair) for pair in sorted(BOTH)], ("192.168.10.0/24",))]
)


@pytest.fixture(scope="module")
def _hosts() -> Iterator[None]:
    namespaces.delete(PREFIX)
    try:
        namespaces.make(PREFIX, HOSTS, WIRES)
        yield
    finally:
        namespaces.delete(PREFIX)


@pytest.fixture
def table(_hosts: None) -> Iterator[NftTable]:
    """Yield the new table of a gateway that translates both pairs, in the gateway's namespace."""
    with enter_namespace(PREFIX, CONCENTRATOR):
        run("nft", "flush ruleset")
        run("conntrack", "-F")
        table = NftTable(NetlinkSocket())
        table.prepare(True, True, add_interfaces=["hosted"])
        table.change(NatElements(), ELEMENTS, True, True)
        yield table


def may_have_flows() -> set[tuple[int, int]]:
    return UsageRecord(NetlinkSocket()).may_have_flows(BOTH, ())


def ping_first_pair() -> None:
    run(*namespaces.inside(PREFIX, SERVER, ["ping", "-c", "1", "-W", "1", "10.1.255.92"]))


def ping_from_second_customer() -> None:
    ping = ["ping", "-c", "1", "-W", "1", "-I", "192.168.10.16", "10.2.0.10"]
    run(*namespaces.inside(PREFIX, CUSTOMER, ping))


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_pair_is_ruled_out_until_its_first_packet_in_either_direction(table: NftTable):
    age_usage_record()
    assert may_have_flows() == set()

    ping_first_pair()
    assert may_have_flows() == {FIRST}

    ping_from_second_customer()
    assert may_have_flows() == BOTH
    uses = read_usage_set(NetlinkSocket())
    assert uses is not None
    assert {(use.internal, use.customer) for use in uses} == BOTH


def test_flows_of_a_pair_in_use_end_with_its_translation(table: NftTable):
    age_usage_record()
    ping_first_pair()
    conntrack = Conntrack(NetlinkSocket())
    assert {(item.pair, item.zone) for item in conntrack.translated_flows()} == {(FIRST, MARK)}

    table.change(ELEMENTS, NatElements(), False, True)
    conntrack.end_flows(flows_of(ELEMENTS), (), ())

    assert conntrack.translated_flows() == set()


def test_rules_that_were_just_written_rule_out_no_pair(table: NftTable):
    assert may_have_flows() == BOTH

    age_usage_record()
    table.change(NatElements(), NatElements(), True, True)

    assert may_have_flows() == BOTH


def test_a_set_that_was_emptied_rules_out_no_pair(table: NftTable):
    age_usage_record()
    run("nft", "flush", "set", "ip", "vpnportal", "used")

    assert may_have_flows() == BOTH


def test_a_set_that_cannot_be_read_rules_out_no_pair(table: NftTable):
    run("nft", "delete", "table", "ip", "vpnportal")

    assert may_have_flows() == BOTH


def test_flows_that_conntrack_keeps_longer_than_the_set_rule_out_no_pair(table: NftTable):
    age_usage_record(days=400)
    assert may_have_flows() == set()

    timeout = "net.netfilter.nf_conntrack_generic_timeout"
    before = run("sysctl", "-n", timeout).strip()
    run("sysctl", "-q", f"{timeout}={ruleset.RETENTION_SECONDS}")
    try:
        assert may_have_flows() == BOTH
    finally:
        run("sysctl", "-q", f"{timeout}={before}")


def test_a_full_set_rules_out_no_pair(table: NftTable):
    """The set has a size for the start of the record and for one pair."""
    run("nft", "delete", "table", "ip", "vpnportal")
    size = "type ipv4_addr . ipv4_addr; size 2; flags timeout; timeout 30d;"
    run("nft", f"add table ip vpnportal; add set ip vpnportal used {{ {size} }}")
    table.prepare(True, True, add_interfaces=["hosted"])
    table.change(NatElements(), ELEMENTS, True, True)
    age_usage_record()

    ping_first_pair()
    assert may_have_flows() == {FIRST}
    ping_from_second_customer()

    assert may_have_flows() == BOTH
    ping_first_pair()
    assert may_have_flows() == BOTH, "an older pair does not show that a packet was missed"
