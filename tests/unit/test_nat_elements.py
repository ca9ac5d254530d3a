"""Elements of the maps, packed: a set like any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vpnportal.domain.gateway_config.nat_elements import Element, Elements, Map

ADDRESSES = st.sampled_from((0, 1, 2, 0x0A01FF5C, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)
SETS = st.frozensets(st.builds(Element, st.sampled_from(Map), ADDRESSES, ADDRESSES), max_size=8)


@given(SETS, SETS)
def test_packed_elements_are_the_set_that_they_were_made_of(some: frozenset, others: frozenset):
    one, other = Elements.containing(some), Elements.containing(others)

    assert (one, len(one), bool(one)) == (some, len(some), bool(some))
    assert (one == other) == (some == others)
    assert one - other == one - others == some - others
    assert Elements.together((one, other)) == one | other == some | others
    assert {element in one for element in some} <= {True}


@given(SETS, SETS)
def test_elements_under_the_keys_of_others_have_whatever_value(some: frozenset, others: frozenset):
    keys = {(element.map, element.key) for element in others}

    found = Elements.containing(some).under(Elements.containing(others))

    assert found == {element for element in some if (element.map, element.key) in keys}


def test_elements_are_told_in_the_order_of_their_addresses():
    elements = Elements.translating([(0x0A01FF5D, 1), (0x0A01FF5C, 2)])

    assert list(elements.texts(Map.INBOUND)) == [
        ("10.1.255.92", "0.0.0.2"),
        ("10.1.255.93", "0.0.0.1"),
    ]
    assert list(elements.keys(Map.OUTBOUND)) == [1, 2]
