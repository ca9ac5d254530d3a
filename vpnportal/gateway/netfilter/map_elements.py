"""The elements of our maps over netlink: libnftables dumps whole maps for one, and takes its time.

The messages: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, and netlink.py for their
form.
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
    attributes,
    message,
    string,
)

GET_ELEMENT = (10 << 8) | 13
NEW_ELEMENT, DELETE_ELEMENT = (10 << 8) | 12, (10 << 8) | 14
# The ends of a transaction: they are about nf_tables, not about an address family.
BATCH_BEGIN, BATCH_END, NF_TABLES = 16, 17, struct.pack("!BBH", 0, 0, 10)
# enum nft_set_elem_list_attributes, nft_list_attributes, nft_set_elem_attributes, nft_data.
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
LIST_ITEM, ELEMENT_KEY, ELEMENT_DATA, DATA_VALUE = 1, 1, 2, 1
# An element as the kernel takes it, and as it writes it into a dump: headers, key, headers, value.
ENTRY = struct.Struct("!12xI8xI")
BEFORE_KEY = struct.pack("=6H", 28, LIST_ITEM | NESTED, 12, ELEMENT_KEY | NESTED, 8, DATA_VALUE)
BEFORE_VALUE = struct.pack("=4H", 12, ELEMENT_DATA | NESTED, 8, DATA_VALUE)
# Requests sent before their answers are read; far less than a socket's buffer holds.
BATCH = 64
# A list of elements is an attribute, so it is shorter than 64 KiB.
AT_ONCE = 2_000
# A table grows for some milliseconds after very many elements were added.
DUMPS, PAUSE_SECONDS = 20, 0.02


def dump_elements(link: NetlinkSocket, table: str, name: str) -> array[int]:
    """Everything that a map of addresses holds, packed; nothing where it is missing.

    The kernel goes on with a dump at a place of its hash table. While that is made larger, it tells
    some elements twice and as many others not at all: then it is asked again.
    """
    for _ in range(DUMPS):
        found = array("Q", _dumped(link, table, name))
        if len(set(found)) == len(found):
            return found
        time.sleep(PAUSE_SECONDS)
    raise GatewayError("nftables does not come to rest while its maps are read.")


def _dumped(link: NetlinkSocket, table: str, name: str) -> Iterator[int]:
    with link:
        place = string(LIST_TABLE, table) + string(LIST_SET, name)
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place)
        for _, body in link.answers():
            items = attributes(body).get(LIST_ELEMENTS, b"")
            pairs = ENTRY.iter_unpack(items) if _are_plain(items) else _entries(items)
            yield from (packed(key, value) for key, value in pairs)


def lookup_elements(
    link: NetlinkSocket, table: str, name: str, keys: Iterable[int]
) -> dict[int, int]:
    """What a map of addresses holds under these keys; absent keys, and maps, are left out."""
    place = string(LIST_TABLE, table) + string(LIST_SET, name)
    wanted = list(dict.fromkeys(keys))
    found: dict[int, int] = {}
    with link:
        for at in range(0, len(wanted), BATCH):
            batch = wanted[at : at + BATCH]
            for sequence, key in enumerate(batch):
                item = attribute(LIST_ELEMENTS | NESTED, _key(packed(key, 0)))
                link.send(sequence, GET_ELEMENT, 0, place + item)
            for sequence, body in link.answers(len(batch)):
                found[batch[sequence]] = _element_value(body)
    return found


def change_elements(link: NetlinkSocket, table: str, remove: NatElements, add: NatElements) -> None:
    """All of it at once; DeviceError, and nothing has changed, where one to remove is not there."""
    messages = [
        message(0, kind, NLM_F_ACK, string(LIST_TABLE, table) + body)
        for kind, elements, written in (
            (DELETE_ELEMENT, remove, _key),
            (NEW_ELEMENT, add, _key_and_value),
        )
        for body in _lists(elements, written)
    ]
    if messages:
        begin, end = (message(0, kind, 0, b"", NF_TABLES) for kind in (BATCH_BEGIN, BATCH_END))
        with link:
            link.send_together([begin, *messages, end])
            list(link.answers(len(messages), fine=(0,)))


def _lists(elements: NatElements, written: Callable[[int], bytes]) -> Iterator[bytes]:
    """The elements of each map, so many in a message as it holds."""
    for name in NatMap:
        numbers = elements.of(name)
        for at in range(0, len(numbers), AT_ONCE):
            items = b"".join(map(written, numbers[at : at + AT_ONCE]))
            yield string(LIST_SET, name) + attribute(LIST_ELEMENTS | NESTED, items)


def _are_plain(items: bytes) -> bool:
    """Whether a list of elements has nothing but keys and values, so that each is as long."""
    count, odd = divmod(len(items), ENTRY.size)
    return not odd and items[0 :: ENTRY.size] == bytes((ENTRY.size,)) * count


def _entries(items: bytes) -> Iterator[tuple[int, int]]:
    while len(items) >= 4:
        (length,) = struct.unpack_from("=H", items)
        element = attributes(items[4:length])
        key, value = (attributes(element[kind]) for kind in (ELEMENT_KEY, ELEMENT_DATA))
        yield int.from_bytes(key[DATA_VALUE], "big"), int.from_bytes(value[DATA_VALUE], "big")
        items = items[(length + 3) & ~3 :]


def _key(number: int) -> bytes:
    """An element without its value."""
    key = attribute(DATA_VALUE, number.to_bytes(8, "big")[:4])
    return attribute(LIST_ITEM | NESTED, attribute(ELEMENT_KEY | NESTED, key))


def _key_and_value(number: int) -> bytes:
    raw = number.to_bytes(8, "big")
    return BEFORE_KEY + raw[:4] + BEFORE_VALUE + raw[4:]


def _element_value(body: bytes) -> int:
    element = attributes(attributes(attributes(body)[LIST_ELEMENTS])[LIST_ITEM])
    return int.from_bytes(attributes(element[ELEMENT_DATA])[DATA_VALUE], "big")
