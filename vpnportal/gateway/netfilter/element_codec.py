"""Elements of the nftables maps as bytes of netlink messages.

Messages: linux/netfilter/nf_tables.h; for their format see netlink_messages.py. The kernel
keeps addresses in network byte order, marks and conntrack zones in the machine's. An interval is
two elements: its first address with the value, and the first address after it, with a flag.

Thousands of elements are one array of 32-bit words: a template for each element, into which the
columns of keys and values are written.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vpnportal.domain.gateway_config.nat_elements import (
    ADDRESS_BITS,
    VALUE,
    VALUE_BITS,
    NatMap,
    interval_of,
    marked_key,
    packed,
)
from vpnportal.gateway.netlink_messages import (
    NESTED,
    attribute,
    parse_attributes,
)

# enum nft_list_attributes, nft_set_elem_attributes, nft_data and nft_set_elem_flags.
LIST_ITEM, ELEMENT_KEY, ELEMENT_DATA, ELEMENT_FLAGS, DATA_VALUE = 1, 1, 2, 3, 1
INTERVAL_END = attribute(ELEMENT_FLAGS, struct.pack("!I", 1))
# The first word of the key of an element, after three headers; two headers follow the key.
KEY, HEADERS_AFTER_KEY = 3, 2
# Words of the two elements of an interval, and the place of the end's key.
FIRST_WORDS, END_WORDS, END_KEY = 7, 6, 10
ZONE = struct.Struct("=H")


@dataclass(frozen=True, slots=True)
class Layout:
    """The kinds of a map's key and value: whether a mark begins the key, and its bytes of value.

    `address_key` is false if the key is a mark alone, `address_value` if the value is no address.
    """

    marked_key: bool = False
    address_key: bool = True
    address_value: bool = False
    value_bytes: int = 4

    @property
    def key_words(self) -> int:
        return 2 if self.marked_key else 1

    @property
    def words(self) -> int:
        """The number of 32-bit words of an element in a list."""
        return KEY + self.key_words + HEADERS_AFTER_KEY + 1


LAYOUTS = {
    NatMap.INBOUND: Layout(address_value=True),
    NatMap.OUTBOUND: Layout(marked_key=True, address_value=True),
    NatMap.TUNNEL_OF: Layout(),
    NatMap.NETWORKS: Layout(),
    NatMap.PEERS: Layout(),
    NatMap.ZONE_OF: Layout(address_key=False, value_bytes=2),
}


def encode_keys(name: NatMap, numbers: Sequence[int]) -> bytes:
    """Return the list items that name packed elements, without their values."""
    layout, count = LAYOUTS[name], len(numbers)
    item = _item(_key(bytes(4 * layout.key_words)))
    keys = [number >> VALUE_BITS for number in numbers]
    if name is NatMap.NETWORKS:
        return _filled((item + _end_item()) * count, _interval_columns(keys, len(item) // 4 + KEY))
    return _filled(item * count, _key_columns(layout, keys))


def encode(name: NatMap, numbers: Sequence[int]) -> bytes:
    """Return the list items of packed elements."""
    layout, count = LAYOUTS[name], len(numbers)
    data = attribute(ELEMENT_DATA | NESTED, attribute(DATA_VALUE, bytes(layout.value_bytes)))
    item = _item(_key(bytes(4 * layout.key_words)) + data)
    keys = [number >> VALUE_BITS for number in numbers]
    columns = {layout.words - 1: _value_words(layout, [number & VALUE for number in numbers])}
    if name is NatMap.NETWORKS:
        columns |= _interval_columns(keys, END_KEY)
        return _filled((item + _end_item()) * count, columns)
    return _filled(item * count, columns | _key_columns(layout, keys))


def encode_key(name: NatMap, key: int) -> bytes:
    """Return a key as the kernel compares it; of an interval, its first address."""
    if name is NatMap.NETWORKS:
        return _address_words([interval_of(key)[0]]).tobytes()
    columns = _key_columns(LAYOUTS[name], [key])
    return b"".join(columns[at].tobytes() for at in sorted(columns))


def lookup_items(name: NatMap, key: int) -> tuple[bytes, ...]:
    """Return the list items of the requests for an element, with one key each.

    For an interval, they are its first and last address and the one after it: the kernel returns
    the loaded interval around an address by its first address. Requests for the end of an interval
    are not reliable where the next one begins (nft_rbtree_get).
    """
    if name is not NatMap.NETWORKS:
        return (_item(_key(encode_key(name, key))),)
    first, last = interval_of(key)
    addresses = (_address_words([address]).tobytes() for address in (first, last, last + 1))
    return tuple(_item(_key(address)) for address in addresses)


def decode(name: NatMap, items: bytes) -> Iterator[int]:
    """Yield the packed elements in the complete list of a map."""
    if name is NatMap.NETWORKS:
        return _decode_intervals(items)
    layout = LAYOUTS[name]
    if _have_size(items, 4 * layout.words):
        return _decode_words(layout, array("I", items))
    return _decode_elements(name, items)


def decode_keys(items: bytes) -> list[bytes]:
    """Return the key of each element in a list of a dump as bytes."""
    keys = (parse_attributes(element[ELEMENT_KEY]) for element in _elements(items))
    return [key[DATA_VALUE] for key in keys]


def decode_element(name: NatMap, items: bytes) -> tuple[bytes, int]:
    """Return the key and the value of a list's only element."""
    (element,) = _elements(items)
    key, value = (parse_attributes(element[kind]) for kind in (ELEMENT_KEY, ELEMENT_DATA))
    return key[DATA_VALUE], _parse_value(LAYOUTS[name], value[DATA_VALUE])


def _key(raw: bytes) -> bytes:
    return attribute(ELEMENT_KEY | NESTED, attribute(DATA_VALUE, raw))


def _item(body: bytes) -> bytes:
    return attribute(LIST_ITEM | NESTED, body)


def _end_item() -> bytes:
    return _item(_key(bytes(4)) + INTERVAL_END)


def _filled(template: bytes, columns: dict[int, array[int]]) -> bytes:
    """Return the elements of a template with these columns of words in their places."""
    words = array("I", template)
    for at, column in columns.items():
        words[at :: len(words) // len(column)] = column
    return words.tobytes()


def _key_columns(layout: Layout, keys: Sequence[int]) -> dict[int, array[int]]:
    if not layout.address_key:
        return {KEY: array("I", keys)}
    if not layout.marked_key:
        return {KEY: _address_words(keys)}
    marks = array("I", [key >> ADDRESS_BITS for key in keys])
    return {KEY: marks, KEY + 1: _address_words([key & VALUE for key in keys])}


def _interval_columns(keys: Sequence[int], end_key: int) -> dict[int, array[int]]:
    firsts, lasts = [key >> ADDRESS_BITS for key in keys], [key & VALUE for key in keys]
    return {KEY: _address_words(firsts), end_key: _address_words([last + 1 for last in lasts])}


def _value_words(layout: Layout, values: Sequence[int]) -> array[int]:
    if layout.address_value:
        return _address_words(values)
    if layout.value_bytes == ZONE.size:
        return array("I", array("H", [part for value in values for part in (value, 0)]).tobytes())
    return array("I", values)


def _address_words(addresses: Iterable[int]) -> array[int]:
    """Return addresses as words in network byte order, or such words as addresses."""
    words = array("I", addresses)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _have_size(items: bytes, size: int) -> bool:
    """Return True if each element in the list has a key and a value and nothing else."""
    count, rest = divmod(len(items), size)
    return not rest and items[0::size] == bytes((size,)) * count


def _decode_words(layout: Layout, words: array[int]) -> Iterator[int]:
    """Yield the elements of a list in which all have the same size."""
    size = layout.words
    keys, values = words[KEY::size], words[size - 1 :: size]
    if layout.address_value:
        values = _address_words(values)
    elif layout.value_bytes == ZONE.size:
        values = array("H", values.tobytes())[::2]
    if layout.marked_key:
        customers = _address_words(words[KEY + 1 :: size])
        rows = zip(keys, customers, values, strict=True)
        return (packed(marked_key(mark, customer), value) for mark, customer, value in rows)
    if layout.address_key:
        keys = _address_words(keys)
    return (key << VALUE_BITS | value for key, value in zip(keys, values, strict=True))


def _decode_intervals(items: bytes) -> Iterator[int]:
    """Yield the intervals of a list. One without an end reaches to the last address."""
    words, at = array("I", items), 0
    firsts: list[tuple[int, int]] = []
    ends: list[int] = []
    addresses = _address_words(words)
    while at < len(words):
        length = (words[at] if sys.byteorder == "little" else words[at] >> 16) & 0xFFFF
        size = max(length + 3 >> 2, 1)
        if size == FIRST_WORDS:
            firsts.append((addresses[at + KEY], words[at + FIRST_WORDS - 1]))
        elif size == END_WORDS:
            ends.append(addresses[at + KEY])
        at += size
    ends.sort(reverse=True)
    for first, mark in sorted(firsts):
        while ends and ends[-1] <= first:
            ends.pop()
        last = ends[-1] - 1 if ends else VALUE
        yield packed(first << ADDRESS_BITS | last, mark)


def _decode_elements(name: NatMap, items: bytes) -> Iterator[int]:
    layout = LAYOUTS[name]
    for element in _elements(items):
        key, value = (parse_attributes(element[kind]) for kind in (ELEMENT_KEY, ELEMENT_DATA))
        words = array("I", key[DATA_VALUE])
        if layout.marked_key:
            number = marked_key(words[0], _address_words(words[1:])[0])
        else:
            number = (_address_words(words) if layout.address_key else words)[0]
        yield packed(number, _parse_value(layout, value[DATA_VALUE]))


def _elements(items: bytes) -> Iterator[dict[int, bytes]]:
    while len(items) >= 4:
        length = int.from_bytes(items[:2], sys.byteorder)
        yield parse_attributes(items[4:length])
        items = items[(length + 3) & ~3 :]


def _parse_value(layout: Layout, raw: bytes) -> int:
    if layout.value_bytes == ZONE.size:
        return int(ZONE.unpack(raw)[0])
    words = array("I", raw)
    return int((_address_words(words) if layout.address_value else words)[0])
