"""Packed elements of the nftables maps behave as a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from vpnportal.domain.gateway_config.nat_elements import (
    NatElement,
    NatElements,
    NatMap,
    interval_of,
    network_key,
    packed,
)

ADDRESSES = st.sampled_from((0, 1, 2, 0x0A01FF5C, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)
KEYS = ADDRESSES | st.integers(0, (1 << 64) - 1)
SETS = st.frozensets(st.builds(NatElement, st.sampled_from(NatMap), KEYS, ADDRESSES), max_size=8)


@dataclass
class Tunnel:
    """A tunnel with a mark, translations and networks."""

    mark: int = 0
    translations: list[int] = field(default_factory=list)
    networks: tuple[str, ...] = ()
    hosted_peer: str = "203.0.113.1"


@given(SETS, SETS)
def test_packed_elements_are_equal_to_the_set_of_elements(left: frozenset, right: frozenset):
    packed_left, packed_right = NatElements.from_elements(left), NatElements.from_elements(right)

    assert (packed_left, len(packed_left), bool(packed_left)) == (left, len(left), bool(left))
    assert (packed_left == packed_right) == (left == right)
    assert packed_left - packed_right == packed_left - right == left - right
    assert NatElements.union((packed_left, packed_right)) == packed_left | packed_right
    assert packed_left | packed_right == left | right
    assert {element in packed_left for element in left} <= {True}


@given(SETS, SETS)
def test_under_selects_elements_by_key_with_any_value(left: frozenset, right: frozenset):
    keys = {(element.map, element.key) for element in right}

    selected = NatElements.from_elements(left).under(NatElements.from_elements(right))

    assert selected == {element for element in left if (element.map, element.key) in keys}


@given(SETS, SETS)
def test_the_value_at_a_key_is_that_of_its_first_element(left: frozenset, right: frozenset):
    elements = NatElements.from_elements(left)

    for name, key, _ in left | right:
        values = [element.value for element in left if (element.map, element.key) == (name, key)]
        assert elements.value_at(name, key) == min(values, default=None)


def test_the_same_customer_address_of_two_tunnels_is_two_elements_sorted_by_mark():
    elements = NatElements.of_tunnels(
        [
            Tunnel(256, [packed(0x0A01FF5C, 0xC0A8010F)]),
            Tunnel(3, [packed(0x0A01FF60, 0xC0A8010F), packed(0x0A01FF61, 0xC0A80110)]),
        ]
    )

    assert list(elements.texts(NatMap.OUTBOUND)) == [
        ("3 . 192.168.1.15", "10.1.255.96"),
        ("3 . 192.168.1.16", "10.1.255.97"),
        ("256 . 192.168.1.15", "10.1.255.92"),
    ]
    assert list(elements.texts(NatMap.INBOUND)) == [
        ("10.1.255.92", "192.168.1.15"),
        ("10.1.255.96", "192.168.1.15"),
        ("10.1.255.97", "192.168.1.16"),
    ]
    assert list(elements.texts(NatMap.TUNNEL_OF)) == [
        ("10.1.255.92", "256"),
        ("10.1.255.96", "3"),
        ("10.1.255.97", "3"),
    ]
    assert elements.internal_addresses() == {0x0A01FF5C, 0x0A01FF60, 0x0A01FF61}


def test_a_tunnel_has_a_zone_and_leads_to_its_networks():
    elements = NatElements.of_tunnels([Tunnel(3, networks=("192.168.1.0/24", "10.9.0.0/16"))])

    assert list(elements.texts(NatMap.ZONE_OF)) == [("3", "3")]
    assert list(elements.texts(NatMap.PEERS)) == [("203.0.113.1", "3")]
    assert list(elements.texts(NatMap.NETWORKS)) == [
        ("10.9.0.0-10.9.255.255", "3"),
        ("192.168.1.0-192.168.1.255", "3"),
    ]


def test_a_tunnel_without_a_mark_has_only_its_translations():
    elements = NatElements.of_tunnels([Tunnel(0, [packed(1, 2)], ("192.168.1.0/24",))])

    assert elements == {NatElement(NatMap.INBOUND, 1, 2), NatElement(NatMap.OUTBOUND, 2, 1)}


@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 32))
def test_the_key_of_a_network_has_its_first_and_its_last_address(address: int, prefix: int):
    network = IPv4Network((address, prefix), strict=False)

    first, last = interval_of(network_key(str(network)))

    assert (first, last) == (int(network[0]), int(network[-1]))
