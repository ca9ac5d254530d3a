"""Flows of map elements: what conntrack keeps of a translation after the maps have changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap


class NatFlows(NamedTuple):
    """All flows that a map element translated in a conntrack zone.

    conntrack translates every packet of a flow like its first packet. A flow is therefore known by
    the element that translated its first packet, even if no map has this element any more.
    """

    element: NatElement
    zone: int = 0

    @property
    def pair(self) -> tuple[int, int]:
        """The internal address and the customer's address, as numbers."""
        kind, key, value = self.element
        return (key, value) if kind is NatMap.INBOUND else (value, key)


def flows_of(elements: NatElements) -> Iterator[NatFlows]:
    """Yield the flows that each of the elements translates."""
    return map(NatFlows, elements)


def flows_without_element(flows: Iterable[NatFlows], elements: NatElements) -> frozenset[NatFlows]:
    """Return the flows whose element is not among the elements."""
    return frozenset(item for item in flows if item.element not in elements)
