"""Elements of the maps, packed: a set like any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap

ADDRESSES = st.sampled_from((0, 1, 2, 0x0A01FF5C, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)
SETS = st.frozensets(
    st.builds(NatElement, st.sampled_from(NatMap), ADDRESSES, ADDRESSES), max_size=8
)


@given(SETS, SETS)
def test_packed_elements_are_the_set_that_they_were_made_of(some: frozenset, others: frozenset):
    one, other = NatElements.from_elements(some), NatElements.from_elements(others)

    assert (one, len(one), bool(one)) == (some, len(some), bool(some))
    assert (one == other) == (some == others)
    assert one - other == one - others == some - others
    assert NatElements.union((one, other)) == one | other == some | others
    assert {element in one for element in some} <= {True}


@given(SETS, SETS)
def test_elements_under_the_keys_of_others_have_whatever_value(some: frozenset, others: frozenset):
    keys = {(element.map, element.key) for element in others}

    found = NatElements.from_elements(some).under(NatElements.from_elements(others))

    assert found == {element for element in some if (element.map, element.key) in keys}


def test_elements_are_told_in_the_order_of_their_addresses():
    elements = NatElements.from_translations([(0x0A01FF5D, 1), (0x0A01FF5C, 2)])

    assert list(elements.texts(NatMap.INBOUND)) == [
        ("10.1.255.92", "0.0.0.2"),
        ("10.1.255.93", "0.0.0.1"),
    ]
    assert list(elements.keys(NatMap.OUTBOUND)) == [1, 2]
