"""Flows of translations: what conntrack keeps of a translation after the maps have changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vpnportal.domain.gateway_config.nat_elements import (
    ADDRESS_BITS,
    VALUE,
    NatElement,
    NatElements,
    NatMap,
    marked_key,
)


class NatFlows(NamedTuple):
    """All flows that an address and its translation began in a conntrack zone.

    conntrack translates every packet of a flow like its first packet. A flow is therefore known by
    the map, key and value that translated its first packet, even if no map has this element any
    more. The key is an address alone. The zone is the mark of the tunnel.
    """

    element: NatElement
    zone: int = 0

    @property
    def pair(self) -> tuple[int, int]:
        """The internal address and the customer's address, as numbers."""
        kind, key, value = self.element
        return (key, value) if kind is NatMap.INBOUND else (value, key)

    @property
    def loaded_element(self) -> NatElement:
        """The element of the flow's map, whose key in OUTBOUND has the mark, too."""
        kind, key, value = self.element
        return self.element if kind is NatMap.INBOUND else _outbound(self.zone, key, value)


def flows_of(elements: NatElements) -> Iterator[NatFlows]:
    """Yield the flows that the elements translate.

    An element of INBOUND does not show its tunnel; other elements of its address do.
    """
    marks = {item & VALUE: item >> 2 * ADDRESS_BITS for item in elements.of(NatMap.OUTBOUND)}
    marks |= {item >> ADDRESS_BITS: item & VALUE for item in elements.of(NatMap.TUNNEL_OF)}
    for element in elements:
        if element.map is NatMap.INBOUND:
            yield NatFlows(element, marks.get(element.key, 0))
        elif element.map is NatMap.OUTBOUND:
            plain = NatElement(element.map, element.key & VALUE, element.value)
            yield NatFlows(plain, element.key >> ADDRESS_BITS)


def flows_without_element(flows: Iterable[NatFlows], elements: NatElements) -> frozenset[NatFlows]:
    """Return the flows whose element, in the tunnel of their zone, is not among the elements."""
    return frozenset(item for item in flows if not _is_translated(item, elements))


def _is_translated(flows: NatFlows, elements: NatElements) -> bool:
    internal, customer = flows.pair
    return (
        _outbound(flows.zone, customer, internal) in elements and flows.loaded_element in elements
    )


def _outbound(mark: int, customer: int, internal: int) -> NatElement:
    return NatElement(NatMap.OUTBOUND, marked_key(mark, customer), internal)
