"""Elements of the two NAT maps over netlink; libnftables dumps whole maps for one element.

See docs/decisions/005. Messages: linux/netfilter/nf_tables.h and linux/netfilter/nfnetlink.h; for
their format see netlink.py.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Callable, Iterable, Iterator

from vpnportal.domain.gateway_config.nat_elements import NatElements, NatMap, packed
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter.netlink import (
    NESTED,
    NLM_F_ACK,
    NLM_F_DUMP,
    NetlinkSocket,
    attribute,
    message,
    parse_attributes,
    text_attribute,
)

GET_ELEMENT = (10 << 8) | 13
NEW_ELEMENT, DELETE_ELEMENT = (10 << 8) | 12, (10 << 8) | 14
# Begin and end of a transaction; their header names nf_tables instead of an address family.
BATCH_BEGIN, BATCH_END, NF_TABLES = 16, 17, struct.pack("!BBH", 0, 0, 10)
# enum nft_set_elem_list_attributes, nft_list_attributes, nft_set_elem_attributes, nft_data.
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
LIST_ITEM, ELEMENT_KEY, ELEMENT_DATA, DATA_VALUE = 1, 1, 2, 1
# An element in a request and in a dump: headers, key, headers, value.
ENTRY = struct.Struct("!12xI8xI")
BEFORE_KEY = struct.pack("=6H", 28, LIST_ITEM | NESTED, 12, ELEMENT_KEY | NESTED, 8, DATA_VALUE)
BEFORE_VALUE = struct.pack("=4H", 12, ELEMENT_DATA | NESTED, 8, DATA_VALUE)
# Requests sent before their replies are read. A socket's buffer holds far more.
BATCH_SIZE = 64
# A list of elements is one attribute, which is shorter than 64 KiB.
MAX_LIST_ELEMENTS = 2_000
# After thousands of additions the kernel enlarges a map's hash table for some milliseconds.
MAX_DUMPS, DUMP_PAUSE_SECONDS = 20, 0.02


def dump_elements(link: NetlinkSocket, table: str, name: str) -> array[int]:
    """Return all elements of a map as `packed` numbers; empty if there is no map.

    The kernel continues a dump at a position of its hash table. While the table grows, a dump
    repeats some elements and omits as many others; such a dump is taken again. Raises GatewayError
    after MAX_DUMPS such dumps.
    """
    for _ in range(MAX_DUMPS):
        elements = array("Q", _dump_once(link, table, name))
        if len(set(elements)) == len(elements):
            return elements
        time.sleep(DUMP_PAUSE_SECONDS)
    raise GatewayError("the maps of nftables changed during each attempt to read them.")


def _dump_once(link: NetlinkSocket, table: str, name: str) -> Iterator[int]:
    with link:
        place = text_attribute(LIST_TABLE, table) + text_attribute(LIST_SET, name)
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place)
        for _, body in link.replies():
            items = parse_attributes(body).get(LIST_ELEMENTS, b"")
            pairs = ENTRY.iter_unpack(items) if _have_fixed_size(items) else _parse_entries(items)
            yield from (packed(key, value) for key, value in pairs)


def lookup_elements(
    link: NetlinkSocket, table: str, name: str, keys: Iterable[int]
) -> dict[int, int]:
    """Return a dict from each of the `keys` that the map contains to its value.

    The dict is empty if the map does not exist.
    """
    place = text_attribute(LIST_TABLE, table) + text_attribute(LIST_SET, name)
    unique_keys = list(dict.fromkeys(keys))
    values: dict[int, int] = {}
    with link:
        for at in range(0, len(unique_keys), BATCH_SIZE):
            batch = unique_keys[at : at + BATCH_SIZE]
            for sequence, key in enumerate(batch):
                item = attribute(LIST_ELEMENTS | NESTED, _key_item(packed(key, 0)))
                link.send(sequence, GET_ELEMENT, 0, place + item)
            for sequence, body in link.replies(len(batch)):
                values[batch[sequence]] = _element_value(body)
    return values


def change_elements(link: NetlinkSocket, table: str, remove: NatElements, add: NatElements) -> None:
    """Remove and add elements in one transaction.

    Raises GatewayError, and changes nothing, if an element to remove does not exist or an element
    to add has another value.
    """
    messages = [
        message(0, kind, NLM_F_ACK, text_attribute(LIST_TABLE, table) + body)
        for kind, elements, encode in (
            (DELETE_ELEMENT, remove, _key_item),
            (NEW_ELEMENT, add, _key_value_item),
        )
        for body in _element_lists(elements, encode)
    ]
    if messages:
        begin, end = (message(0, kind, 0, b"", NF_TABLES) for kind in (BATCH_BEGIN, BATCH_END))
        with link:
            link.send_together([begin, *messages, end])
            list(link.replies(len(messages), accepted_codes=(0,)))


def _element_lists(elements: NatElements, encode: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield encoded request attributes, each with at most MAX_LIST_ELEMENTS elements of one map."""
    for name in NatMap:
        numbers = elements.of(name)
        for at in range(0, len(numbers), MAX_LIST_ELEMENTS):
            items = b"".join(map(encode, numbers[at : at + MAX_LIST_ELEMENTS]))
            yield text_attribute(LIST_SET, name) + attribute(LIST_ELEMENTS | NESTED, items)


def _have_fixed_size(items: bytes) -> bool:
    """Return True if each element in the list has a key and a value and nothing else."""
    count, rest = divmod(len(items), ENTRY.size)
    return not rest and items[0 :: ENTRY.size] == bytes((ENTRY.size,)) * count


def _parse_entries(items: bytes) -> Iterator[tuple[int, int]]:
    while len(items) >= 4:
        (length,) = struct.unpack_from("=H", items)
        element = parse_attributes(items[4:length])
        key, value = (parse_attributes(element[kind]) for kind in (ELEMENT_KEY, ELEMENT_DATA))
        yield int.from_bytes(key[DATA_VALUE], "big"), int.from_bytes(value[DATA_VALUE], "big")
        items = items[(length + 3) & ~3 :]


def _key_item(number: int) -> bytes:
    """Return the key of a packed element as an encoded list item, without the value."""
    key = attribute(DATA_VALUE, number.to_bytes(8, "big")[:4])
    return attribute(LIST_ITEM | NESTED, attribute(ELEMENT_KEY | NESTED, key))


def _key_value_item(number: int) -> bytes:
    raw = number.to_bytes(8, "big")
    return BEFORE_KEY + raw[:4] + BEFORE_VALUE + raw[4:]


def _element_value(body: bytes) -> int:
    item = parse_attributes(parse_attributes(body)[LIST_ELEMENTS])[LIST_ITEM]
    data = parse_attributes(parse_attributes(item)[ELEMENT_DATA])
    return int.from_bytes(data[DATA_VALUE], "big")
