"""Elements of the nftables maps that lead packets into tunnels and translate their addresses.

A gateway has up to a hundred thousand translations of ten thousand tunnels. An element is thus a
number: its key, then 32 bits of its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from enum import StrEnum
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from vpnportal.domain.addresses import dotted, number
from vpnportal.domain.gateway_config.packed_numbers import PackedNumbers

VALUE_BITS = ADDRESS_BITS = 32
VALUE = (1 << VALUE_BITS) - 1


class NatMap(StrEnum):
    """The nftables maps.

    INBOUND translates destinations of packets to the customer. OUTBOUND translates sources of
    packets from the customer of one tunnel. TUNNEL_OF has the tunnel's mark for each internal
    address, NETWORKS for each remote network, PEERS for each hosted peer address, and ZONE_OF the
    conntrack zone of each mark.
    """

    INBOUND = "inbound"
    OUTBOUND = "outbound_by_mark"
    TUNNEL_OF = "tunnel_of"
    NETWORKS = "networks"
    PEERS = "peers"
    ZONE_OF = "zone_of"


class NatElement(NamedTuple):
    """An element of a map, with its key and its value as numbers.

    The key of OUTBOUND is the mark in the bits above a customer address. The key of NETWORKS is
    the first address of a network in the bits above the last one.
    """

    map: NatMap
    key: int
    value: int

    @property
    def texts(self) -> tuple[str, str]:
        """Key and value as text, addresses in dotted notation."""
        return _key_text(self.map, self.key), _value_text(self.map, self.value)


def packed(key: int, value: int) -> int:
    """Return an element as a number: the key in the bits above the 32 bits of the value."""
    return key << VALUE_BITS | value


def marked_key(mark: int, customer: int) -> int:
    """Return the key of OUTBOUND for an address of a tunnel's customer."""
    return mark << ADDRESS_BITS | customer


def network_key(network: str) -> int:
    """Return the key of NETWORKS for a network as text, such as 192.168.1.0/24."""
    address, _, prefix = network.partition("/")
    first = number(address)
    return first << ADDRESS_BITS | first + (1 << ADDRESS_BITS - int(prefix)) - 1


def interval_of(key: int) -> tuple[int, int]:
    """Return the first and the last address of a NETWORKS key."""
    return key >> ADDRESS_BITS, key & VALUE


NO_NUMBERS = PackedNumbers()
Numbers: TypeAlias = Mapping[NatMap, Iterable[int]]


class TunnelElements(Protocol):
    """A tunnel from which elements are made: its mark, translations, addresses and networks.

    `translations` are numbers: the internal address in the bits above the customer address.
    `hosted_peer` and the remote `networks` are text.
    """

    @property
    def mark(self) -> int: ...
    @property
    def hosted_peer(self) -> str: ...
    @property
    def translations(self) -> Sequence[int]: ...
    @property
    def networks(self) -> Sequence[str]: ...


class NatElements(Set[NatElement]):
    """A set of map elements as numbers; a difference of sets creates no `NatElement`s."""

    __slots__ = ("_by_map",)

    def __init__(self, numbers: Numbers = MappingProxyType({})) -> None:
        """Create the set from the `packed` elements of each map, in any order."""
        self._by_map = {name: PackedNumbers(items) for name, items in numbers.items() if items}

    @classmethod
    def of_tunnels(cls, tunnels: Iterable[TunnelElements]) -> NatElements:
        """Return the elements of tunnels. A tunnel without a mark only has its translations."""
        every = tuple(tunnels)
        marked = [tunnel for tunnel in every if tunnel.mark]
        return cls(
            {
                NatMap.INBOUND: chain.from_iterable(map(attrgetter("translations"), every)),
                NatMap.OUTBOUND: (
                    marked_key(tunnel.mark, item & VALUE) << VALUE_BITS | item >> VALUE_BITS
                    for tunnel in every
                    for item in tunnel.translations
                ),
                NatMap.TUNNEL_OF: (
                    item & ~VALUE | tunnel.mark for tunnel in marked for item in tunnel.translations
                ),
                NatMap.NETWORKS: (
                    packed(network_key(network), tunnel.mark)
                    for tunnel in marked
                    for network in tunnel.networks
                ),
                NatMap.PEERS: (
                    packed(number(tunnel.hosted_peer), tunnel.mark) for tunnel in marked
                ),
                NatMap.ZONE_OF: (packed(tunnel.mark, tunnel.mark) for tunnel in marked),
            }
        )

    @classmethod
    def union(cls, sets: Iterable[NatElements]) -> NatElements:
        """Return the union of the sets."""
        operands = tuple(sets)
        if len(operands) == 1:
            return operands[0]
        return cls(
            _each(lambda name: chain.from_iterable(elements.of(name) for elements in operands))
        )

    @classmethod
    def from_elements(cls, elements: Iterable[NatElement]) -> NatElements:
        """Return the `NatElement`s as a `NatElements` set."""
        numbers: dict[NatMap, list[int]] = {name: [] for name in NatMap}
        for element in elements:
            numbers[element.map].append(packed(element.key, element.value))
        return cls(numbers)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        """Return the elements as a `NatElements` set; the operators of `Set` call this method."""
        return cls.from_elements(it)

    def of(self, name: NatMap) -> PackedNumbers:
        """Return the `packed` elements of a map, sorted."""
        return self._by_map.get(name, NO_NUMBERS)

    def keys(self, name: NatMap) -> Iterator[int]:
        """Yield the keys of a map, sorted."""
        return (item >> VALUE_BITS for item in self.of(name))

    def pairs(self, name: NatMap) -> Iterator[tuple[int, int]]:
        """Yield key and value of the elements of a map, sorted by key."""
        return ((item >> VALUE_BITS, item & VALUE) for item in self.of(name))

    def internal_addresses(self) -> set[int]:
        """Return the internal addresses of the translations that have an element in any map."""
        return {
            *self.keys(NatMap.INBOUND),
            *self.keys(NatMap.TUNNEL_OF),
            *(item & VALUE for item in self.of(NatMap.OUTBOUND)),
        }

    def texts(self, name: NatMap) -> Iterator[tuple[str, str]]:
        """Yield key and value of the elements of a map as text, sorted by key."""
        for pair in self.pairs(name):
            yield NatElement(name, *pair).texts

    def under(self, keys: NatElements) -> NatElements:
        """Return the elements of this set whose map and key occur in the set `keys`."""
        return NatElements(
            _each(lambda name: _with_keys(self.of(name), frozenset(keys.keys(name))))
        )

    def value_at(self, name: NatMap, key: int) -> int | None:
        """Return the value of the first element with a key, or None without one."""
        item = self.of(name).at_least(packed(key, 0))
        return item & VALUE if item is not None and item >> VALUE_BITS == key else None

    def __iter__(self) -> Iterator[NatElement]:
        for name in NatMap:
            for pair in self.pairs(name):
                yield NatElement(name, *pair)

    def __contains__(self, element: object) -> bool:
        if not isinstance(element, NatElement):
            return False
        return packed(element.key, element.value) in self.of(element.map)

    def __len__(self) -> int:
        return sum(map(len, self._by_map.values()))

    def __sub__(self, other: Set[NatElement]) -> NatElements:
        if not isinstance(other, NatElements):
            return self.from_elements(element for element in self if element not in other)
        return NatElements(_each(lambda name: _difference(self.of(name), other.of(name))))

    def __repr__(self) -> str:
        return f"NatElements({', '.join(' to '.join(element.texts) for element in self)})"


def _each(numbers: Callable[[NatMap], Iterable[int]]) -> Numbers:
    return {name: numbers(name) for name in NatMap}


def _difference(numbers: PackedNumbers, others: PackedNumbers) -> Iterable[int]:
    return () if numbers == others else set(numbers).difference(others)


def _with_keys(numbers: PackedNumbers, keys: frozenset[int]) -> Iterator[int]:
    return (item for item in numbers if item >> VALUE_BITS in keys)


def _key_text(name: NatMap, key: int) -> str:
    if name is NatMap.OUTBOUND:
        return f"{key >> ADDRESS_BITS} . {dotted(key & VALUE)}"
    if name is NatMap.NETWORKS:
        return "-".join(map(dotted, interval_of(key)))
    return str(key) if name is NatMap.ZONE_OF else dotted(key)


def _value_text(name: NatMap, value: int) -> str:
    return dotted(value) if name in (NatMap.INBOUND, NatMap.OUTBOUND) else str(value)
