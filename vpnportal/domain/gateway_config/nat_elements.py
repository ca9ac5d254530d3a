"""Address translations as nftables holds them: elements of two maps, maybe a hundred thousand."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Set
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

KEY_BITS = 32
VALUE = (1 << KEY_BITS) - 1


class NatMap(StrEnum):
    """Our two nftables maps: towards the customer by destination, from the customer by source."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class NatElement(NamedTuple):
    """One entry of a map: packets with address `key` are given address `value`, both numbers."""

    map: NatMap
    key: int
    value: int

    @property
    def texts(self) -> tuple[str, str]:
        """Key and value as people write them."""
        return dotted(self.key), dotted(self.value)


def dotted(number: int) -> str:
    """An address as people write it."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def packed(key: int, value: int) -> int:
    """An element of a map as one number; sorts by its key."""
    return key << KEY_BITS | value


class NatElements(Set[NatElement]):
    """A set of elements in eight bytes each: two sets are compared without making one of them."""

    __slots__ = ("_inbound", "_outbound")

    def __init__(self, inbound: Iterable[int] = (), outbound: Iterable[int] = ()) -> None:
        """The elements of both maps as `packed` gives them, in any order."""
        self._inbound, self._outbound = _sorted(inbound), _sorted(outbound)

    @classmethod
    def translating(cls, pairs: Iterable[tuple[int, int]]) -> NatElements:
        """Each internal address to and from the customer's address beside it."""
        several = tuple(pairs)
        return cls(
            (packed(internal, customer) for internal, customer in several),
            (packed(customer, internal) for internal, customer in several),
        )

    @classmethod
    def together(cls, several: Iterable[NatElements]) -> NatElements:
        """All that is in one of them."""
        each = tuple(several)
        if len(each) == 1:
            return each[0]

        def numbers(name: NatMap) -> Iterator[int]:
            return chain.from_iterable(one.of(name) for one in each)

        return cls(*map(numbers, NatMap))

    @classmethod
    def containing(cls, elements: Iterable[NatElement]) -> NatElements:
        """These elements."""
        several = tuple(elements)

        def numbers(name: NatMap) -> Iterator[int]:
            return (packed(one.key, one.value) for one in several if one.map is name)

        return cls(*map(numbers, NatMap))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        """What `Set` makes unions of."""
        return cls.containing(it)

    def of(self, name: NatMap) -> array[int]:
        """The elements of one map as `packed` gives them, sorted."""
        return self._inbound if name is NatMap.INBOUND else self._outbound

    def keys(self, name: NatMap) -> Iterator[int]:
        """The keys of one map, in order."""
        return (number >> KEY_BITS for number in self.of(name))

    def all_keys(self) -> set[int]:
        """The keys of both maps together."""
        return {*self.keys(NatMap.INBOUND), *self.keys(NatMap.OUTBOUND)}

    def texts(self, name: NatMap) -> Iterator[tuple[str, str]]:
        """Key and value of the elements of one map as people write them, in order."""
        return ((dotted(number >> KEY_BITS), dotted(number & VALUE)) for number in self.of(name))

    def under(self, keys: NatElements) -> NatElements:
        """Those whose keys occur in the same map of `keys`."""
        return NatElements(*(_under(self.of(name), frozenset(keys.keys(name))) for name in NatMap))

    def __iter__(self) -> Iterator[NatElement]:
        for name in NatMap:
            for number in self.of(name):
                yield NatElement(name, number >> KEY_BITS, number & VALUE)

    def __contains__(self, one: object) -> bool:
        if not isinstance(one, NatElement):
            return False
        numbers, wanted = self.of(one.map), packed(one.key, one.value)
        at = bisect_left(numbers, wanted)
        return at < len(numbers) and numbers[at] == wanted

    def __len__(self) -> int:
        return len(self._inbound) + len(self._outbound)

    def __sub__(self, other: Set[NatElement]) -> NatElements:
        if not isinstance(other, NatElements):
            return self.containing(one for one in self if one not in other)
        return NatElements(*(_without(self.of(name), other.of(name)) for name in NatMap))

    def __repr__(self) -> str:
        return f"Elements({', '.join(' to '.join(one.texts) for one in self)})"


def _sorted(numbers: Iterable[int]) -> array[int]:
    # Keeps an order that is there, which makes sorting cheap.
    return array("Q", sorted(dict.fromkeys(numbers)))


def _without(some: array[int], others: array[int]) -> Iterable[int]:
    return () if some == others else set(some).difference(others)


def _under(numbers: array[int], keys: frozenset[int]) -> Iterator[int]:
    return (number for number in numbers if number >> KEY_BITS in keys)
