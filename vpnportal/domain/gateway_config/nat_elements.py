"""Address translations as elements of two nftables maps, up to a hundred thousand each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Set
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

from vpnportal.domain.addresses import dotted

KEY_BITS = 32
VALUE = (1 << KEY_BITS) - 1


class NatMap(StrEnum):
    """The nftables maps of address translations.

    INBOUND translates destinations of packets to the customer. OUTBOUND translates sources of
    packets from the customer.
    """

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class NatElement(NamedTuple):
    """An element of a map: packets with address `key` get address `value`, both as numbers."""

    map: NatMap
    key: int
    value: int

    @property
    def texts(self) -> tuple[str, str]:
        """Key and value in dotted notation."""
        return dotted(self.key), dotted(self.value)


def packed(key: int, value: int) -> int:
    """Return an element as a 64-bit number: the key in the high, the value in the low 32 bits."""
    return key << KEY_BITS | value


class NatElements(Set[NatElement]):
    """A set of map elements, eight bytes each; a difference of sets creates no `NatElement`s."""

    __slots__ = ("_inbound", "_outbound")

    def __init__(self, inbound: Iterable[int] = (), outbound: Iterable[int] = ()) -> None:
        """Create the set from the `packed` elements of both maps, in any order."""
        self._inbound, self._outbound = _sorted(inbound), _sorted(outbound)

    @classmethod
    def from_translations(cls, pairs: Iterable[tuple[int, int]]) -> NatElements:
        """Return the elements of pairs of an internal and a customer address, both directions."""
        translations = tuple(pairs)
        return cls(
            (packed(internal, customer) for internal, customer in translations),
            (packed(customer, internal) for internal, customer in translations),
        )

    @classmethod
    def union(cls, sets: Iterable[NatElements]) -> NatElements:
        """Return the union of the sets."""
        operands = tuple(sets)
        if len(operands) == 1:
            return operands[0]

        def numbers(name: NatMap) -> Iterator[int]:
            return chain.from_iterable(elements.of(name) for elements in operands)

        return cls(*map(numbers, NatMap))

    @classmethod
    def from_elements(cls, elements: Iterable[NatElement]) -> NatElements:
        """Return the `NatElement`s, of either map, as a `NatElements` set."""
        all_elements = tuple(elements)

        def numbers(name: NatMap) -> Iterator[int]:
            return (
                packed(element.key, element.value)
                for element in all_elements
                if element.map is name
            )

        return cls(*map(numbers, NatMap))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        """Return the elements as a `NatElements` set; the operators of `Set` call this method."""
        return cls.from_elements(it)

    def of(self, name: NatMap) -> array[int]:
        """Return the `packed` elements of a map, sorted."""
        return self._inbound if name is NatMap.INBOUND else self._outbound

    def keys(self, name: NatMap) -> Iterator[int]:
        """Yield the keys of a map, sorted."""
        return (number >> KEY_BITS for number in self.of(name))

    def all_keys(self) -> set[int]:
        """Return the keys of both maps."""
        return {*self.keys(NatMap.INBOUND), *self.keys(NatMap.OUTBOUND)}

    def texts(self, name: NatMap) -> Iterator[tuple[str, str]]:
        """Yield key and value of the elements of a map in dotted notation, sorted by key."""
        return ((dotted(number >> KEY_BITS), dotted(number & VALUE)) for number in self.of(name))

    def under(self, keys: NatElements) -> NatElements:
        """Return the elements of this set whose map and key occur in the set `keys`."""
        return NatElements(
            *(_with_keys(self.of(name), frozenset(keys.keys(name))) for name in NatMap)
        )

    def __iter__(self) -> Iterator[NatElement]:
        for name in NatMap:
            for number in self.of(name):
                yield NatElement(name, number >> KEY_BITS, number & VALUE)

    def __contains__(self, element: object) -> bool:
        if not isinstance(element, NatElement):
            return False
        numbers, number = self.of(element.map), packed(element.key, element.value)
        at = bisect_left(numbers, number)
        return at < len(numbers) and numbers[at] == number

    def __len__(self) -> int:
        return len(self._inbound) + len(self._outbound)

    def __sub__(self, other: Set[NatElement]) -> NatElements:
        if not isinstance(other, NatElements):
            return self.from_elements(element for element in self if element not in other)
        return NatElements(*(_difference(self.of(name), other.of(name)) for name in NatMap))

    def __repr__(self) -> str:
        return f"NatElements({', '.join(' to '.join(element.texts) for element in self)})"


def _sorted(numbers: Iterable[int]) -> array[int]:
    # dict.fromkeys drops duplicates and keeps the order: sorted input is sorted in linear time.
    return array("Q", sorted(dict.fromkeys(numbers)))


def _difference(numbers: array[int], others: array[int]) -> Iterable[int]:
    return () if numbers == others else set(numbers).difference(others)


def _with_keys(numbers: array[int], keys: frozenset[int]) -> Iterator[int]:
    return (number for number in numbers if number >> KEY_BITS in keys)
