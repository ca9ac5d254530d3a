"""Elements of the nftables maps in a real kernel: a change is complete or has no effect."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from tests.running_portal import laboratory_prefix
from tests.tunnel_elements import Tunnel
from vpnportal.domain.gateway_config.nat_elements import NatElements, packed
from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netfilter.nft_table import MAX_LOOKUPS, NftTable

PREFIX = laboratory_prefix("e")
NOTHING = NatElements()
INTERNAL, CUSTOMER = 0x0A01FF00, 0xC0A80A00
# More than a netlink message holds, and more than the portal reads one by one.
MANY = 50 * MAX_LOOKUPS


@pytest.fixture(scope="module")
def table() -> Iterator[NftTable]:
    """Yield the table of a gateway, in whose namespace the tests run."""
    namespaces.delete(PREFIX)
    try:
        namespaces.make(PREFIX, [Host(CONCENTRATOR, "", {})], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            nft = NftTable(NetlinkSocket())
            nft.change(NOTHING, NOTHING, write_rules=True, userland_esp=True)
            yield nft
    finally:
        namespaces.delete(PREFIX)


@pytest.fixture
def nft(table: NftTable) -> NftTable:
    """Return the table without any element."""
    table.change(table.elements(), NOTHING, write_rules=False, userland_esp=True)
    return table


def translations(numbers: range, offset: int = 0) -> NatElements:
    rows = [packed(INTERNAL + n, CUSTOMER + n + offset) for n in numbers]
    return NatElements.of_tunnels([Tunnel(300, rows)])


def networks(*texts: str, mark: int = 300) -> NatElements:
    return NatElements.of_tunnels([Tunnel(mark, networks=texts)])


def looked_up(keys: NatElements) -> NatElements:
    """Return the elements at these keys from a table of which nothing is known yet."""
    return NftTable(NetlinkSocket()).elements_at(keys)


@pytest.mark.parametrize("count", [1, MANY])
def test_added_elements_exist_and_removed_elements_do_not(nft: NftTable, count: int):
    first, second = translations(range(count)), translations(range(count, 2 * count))

    nft.change(NOTHING, first, write_rules=False, userland_esp=True)
    assert nft.elements() == nft.elements_at(first) == looked_up(first) == first

    nft.change(first, second, write_rules=False, userland_esp=True)
    assert nft.elements_at(first - second) == looked_up(first - second) == NOTHING
    assert nft.elements_at(second) == nft.elements() == second
    assert nft.rules().are_current(userland_esp=True)


def test_a_single_change_replaces_the_values(nft: NftTable):
    before, after = translations(range(3)), translations(range(3), offset=100)
    nft.change(NOTHING, before, write_rules=False, userland_esp=True)

    nft.change(before, after, write_rules=False, userland_esp=True)

    assert nft.elements() == after


def nft_command(text: str) -> None:
    subprocess.run(["nft", text], check=True)


@pytest.mark.parametrize("after_dump", [False, True])
@pytest.mark.parametrize("of_others", [False, True])
@pytest.mark.parametrize("own", [NOTHING, translations(range(1, 3), 100), translations(range(9))])
def test_known_elements_and_rules_are_read_again_after_a_change_of_another_program(
    nft: NftTable, own: NatElements, of_others: bool, after_dump: bool
):
    known = translations(range(3))
    nft.change(NOTHING, known, write_rules=False, userland_esp=True)
    assert (nft.elements() if after_dump else nft.elements_at(known)) == known
    assert nft.rules().are_current(userland_esp=True)

    if of_others:
        nft_command("delete element ip vpnportal tunnel_of { 10.1.255.0 }")
    replaced = translations(range(1, 3)) if own else NOTHING
    nft.change(replaced, own - known, write_rules=False, userland_esp=True)

    assert nft.elements_at(known | own) == looked_up(known | own)
    assert nft.elements_at(known) == nft.elements().under(known)
    nft_command("flush chain ip vpnportal postrouting")
    try:
        assert not nft.rules().are_current(userland_esp=True)
    finally:
        nft.change(NOTHING, NOTHING, write_rules=True, userland_esp=True)
    assert nft.rules().are_current(userland_esp=True)


ADJACENT = ("10.64.0.0/24", "10.64.1.0/24", "10.64.2.0/32", "10.64.2.1/32", "10.64.2.2/31")


def test_each_network_is_found_by_itself_although_the_next_one_begins_at_its_end(nft: NftTable):
    nft.change(NOTHING, networks(*ADJACENT), write_rules=False, userland_esp=True)

    assert nft.elements() == networks(*ADJACENT)
    for network in ADJACENT:
        assert looked_up(networks(network)) == networks(network)
        assert nft.elements_at(networks(network)) == networks(network)


@pytest.mark.parametrize(
    "other", ["10.64.0.0/23", "10.64.0.0/25", "10.64.0.128/25", "10.64.2.0/30", "10.64.3.0/24"]
)
def test_a_network_that_only_overlaps_a_loaded_one_is_not_loaded(nft: NftTable, other: str):
    nft.change(NOTHING, networks(*ADJACENT), write_rules=False, userland_esp=True)

    assert looked_up(networks(other)) == networks()
    assert nft.elements() and nft.elements_at(networks(other)) == networks()


def test_a_network_is_replaced_by_a_part_of_it(nft: NftTable):
    before, after = networks("10.64.0.0/16"), networks("10.64.0.0/24", "10.64.9.0/24")
    nft.change(NOTHING, before, write_rules=False, userland_esp=True)

    nft.change(before - after, after - before, write_rules=False, userland_esp=True)

    assert nft.elements() == after


@pytest.mark.parametrize("fault", ["absent", "occupied"])
def test_a_change_that_the_kernel_refuses_has_no_effect(nft: NftTable, fault: str):
    existing = translations(range(5_000))
    nft.change(NOTHING, existing, write_rules=False, userland_esp=True)
    remove, add = {
        "absent": (translations(range(4_990, 5_010)), translations(range(6_000, 6_010))),
        "occupied": (translations(range(10)), translations(range(4_999, 5_010), offset=1)),
    }[fault]

    with pytest.raises(GatewayError):
        nft.change(remove, add, write_rules=False, userland_esp=True)

    assert nft.elements() == existing
