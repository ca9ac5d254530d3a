"""The elements of the maps in a real kernel: each change is whole, or it is none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netfilter.nft_table import MAX_LOOKUPS, NftTable

PREFIX = os.environ.get("VPNPORTAL_LAB", "vt") + "e"
NOTHING = NatElements()
HERE, THERE = 0x0A01FF00, 0xC0A80A00
# More than a message holds, and than are asked for one by one.
MANY = 50 * MAX_LOOKUPS


@pytest.fixture
def nft() -> Iterator[NftTable]:
    """The table of a gateway without any translation."""
    namespaces.delete(PREFIX)
    try:
        namespaces.make(PREFIX, [Host(CONCENTRATOR, "", {})], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            nft = NftTable(NetlinkSocket())
            nft.change(NOTHING, NOTHING, write_rules=True, userland_esp=True)
            yield nft
    finally:
        namespaces.delete(PREFIX)


def translations(numbers: range, moved: int = 0) -> NatElements:
    return NatElements.from_translations((HERE + n, THERE + n + moved) for n in numbers)


@pytest.mark.parametrize("count", [1, MANY])
def test_what_is_added_is_there_and_what_is_removed_is_not(nft: NftTable, count: int):
    some, others = translations(range(count)), translations(range(count, 2 * count))

    nft.change(NOTHING, some, write_rules=False, userland_esp=True)
    assert nft.elements() == nft.elements_at(some) == some

    nft.change(some, others, write_rules=False, userland_esp=True)
    assert nft.elements() == others
    assert nft.elements_at(some) == NOTHING
    assert nft.rules_are_current(userland_esp=True)


def test_a_value_is_changed_in_one_go(nft: NftTable):
    before, after = translations(range(3)), translations(range(3), moved=100)
    nft.change(NOTHING, before, write_rules=False, userland_esp=True)

    nft.change(before, after, write_rules=False, userland_esp=True)

    assert nft.elements() == after


@pytest.mark.parametrize("fault", ["absent", "taken"])
def test_of_a_change_that_cannot_be_made_nothing_is(nft: NftTable, fault: str):
    there = translations(range(5_000))
    nft.change(NOTHING, there, write_rules=False, userland_esp=True)
    remove, add = {
        "absent": (translations(range(4_990, 5_010)), translations(range(6_000, 6_010))),
        "taken": (translations(range(10)), translations(range(4_999, 5_010), moved=1)),
    }[fault]

    with pytest.raises(GatewayError):
        nft.change(remove, add, write_rules=False, userland_esp=True)

    assert nft.elements() == there
