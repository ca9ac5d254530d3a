"""Packed elements of the nftables maps behave as a set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap

ADDRESSES = st.sampled_from((0, 1, 2, 0x0A01FF5C, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)
SETS = st.frozensets(
    st.builds(NatElement, st.sampled_from(NatMap), ADDRESSES, ADDRESSES), max_size=8
)


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


def test_elements_are_sorted_by_address():
    elements = NatElements.from_translations([(0x0A01FF5D, 1), (0x0A01FF5C, 2)])

    assert list(elements.texts(NatMap.INBOUND)) == [
        ("10.1.255.92", "0.0.0.2"),
        ("10.1.255.93", "0.0.0.1"),
    ]
    assert list(elements.keys(NatMap.OUTBOUND)) == [1, 2]
