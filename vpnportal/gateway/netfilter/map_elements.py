"""Elements of the nftables maps over netlink; libnftables dumps whole maps for one element.

See docs/decisions/005. Messages: linux/netfilter/nf_tables.h and linux/netfilter/nfnetlink.h; for
their format see netlink_messages.py.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence

from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import element_codec
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
    message,
    text_attribute,
)
from vpnportal.gateway.netlink_messages import (
    BATCH_SIZE,
    NESTED,
    NLM_F_ACK,
    NLM_F_DUMP,
    attribute,
    parse_attributes,
)

GET_ELEMENT = (10 << 8) | 13
NEW_ELEMENT, DELETE_ELEMENT = (10 << 8) | 12, (10 << 8) | 14
# Begin and end of a transaction; their header names nf_tables instead of an address family.
BATCH_BEGIN, BATCH_END, NF_TABLES = 16, 17, struct.pack("!BBH", 0, 0, 10)
# enum nft_set_elem_list_attributes.
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
# A list of elements is one attribute, which is shorter than 64 KiB. An interval is two elements.
MAX_LIST_ELEMENTS = 1_200
# After thousands of additions the kernel enlarges a map's hash table for some milliseconds.
MAX_DUMPS, DUMP_PAUSE_SECONDS = 20, 0.02


def dump_elements(link: NetlinkSocket, table: str, name: NatMap) -> list[int]:
    """Return all elements of a map as `packed` numbers; empty if there is no map.

    The kernel continues a dump at a position of its hash table. While the table grows, a dump
    repeats some elements and omits as many others; such a dump is taken again. Raises GatewayError
    after MAX_DUMPS such dumps.
    """
    for _ in range(MAX_DUMPS):
        elements = list(_dump_once(link, table, name))
        if len(set(elements)) == len(elements):
            return elements
        time.sleep(DUMP_PAUSE_SECONDS)
    raise GatewayError("the maps of nftables changed during each attempt to read them.")


def dump_keys(link: NetlinkSocket, table: str, name: str) -> list[bytes]:
    """Return the keys of all elements of a set as bytes; empty if there is no set."""
    return element_codec.decode_keys(_dump_items(link, table, name))


def _dump_once(link: NetlinkSocket, table: str, name: NatMap) -> Iterator[int]:
    return element_codec.decode(name, _dump_items(link, table, name))


def _dump_items(link: NetlinkSocket, table: str, name: str) -> bytes:
    with link:
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place_attributes(table, name))
        lists = [parse_attributes(body).get(LIST_ELEMENTS, b"") for _, body in link.replies()]
    return b"".join(lists)


def lookup_elements(link: NetlinkSocket, table: str, keys: NatElements) -> NatElements:
    """Return the loaded elements whose map and key occur in `keys`, with their loaded values.

    A map that does not exist has no elements.
    """
    lookups = [(name, key) for name in NatMap for key in dict.fromkeys(keys.keys(name))]
    requests = [
        (index, encode_lookup(table, name, item))
        for index, (name, key) in enumerate(lookups)
        for item in element_codec.lookup_items(name, key)
    ]
    answers: list[list[tuple[bytes, int]]] = [[] for _ in lookups]
    for index, items in get_elements(link, requests):
        answers[index].append(element_codec.decode_element(lookups[index][0], items))
    return NatElements.from_elements(
        NatElement(name, key, answer[0][1])
        for (name, key), answer in zip(lookups, answers, strict=True)
        if _is_exact(name, key, [loaded for loaded, _ in answer])
    )


def get_elements(
    link: NetlinkSocket, requests: Sequence[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each request whose element exists, with the element as a list of one.

    A request has a number, and attributes from `encode_lookup`.
    """
    with link:
        for at in range(0, len(requests), BATCH_SIZE):
            batch = requests[at : at + BATCH_SIZE]
            link.send_together(message(number, GET_ELEMENT, 0, body) for number, body in batch)
            for number, body in link.replies(len(batch)):
                yield number, parse_attributes(body)[LIST_ELEMENTS]


def _is_exact(name: NatMap, key: int, loaded: list[bytes]) -> bool:
    """Return True if the answers to the requests for an element are of this element.

    An interval must be the one around its first and last address, and not around the next one.
    """
    asked = element_codec.encode_key(name, key)
    return loaded.count(asked) == (2 if name is NatMap.NETWORKS else 1)


def change_elements(link: NetlinkSocket, table: str, remove: NatElements, add: NatElements) -> None:
    """Remove and add elements in one transaction.

    Raises GatewayError, and changes nothing, if an element to remove does not exist or an element
    to add has another value.
    """
    requests = [
        (kind, text_attribute(LIST_TABLE, table) + body)
        for kind, elements, encode in (
            (DELETE_ELEMENT, remove, element_codec.encode_keys),
            (NEW_ELEMENT, add, element_codec.encode),
        )
        for body in _element_lists(elements, encode)
    ]
    if requests:
        # The kernel reports every error. Acknowledgements of all requests would not fit into the
        # socket's buffer.
        flags = [0] * (len(requests) - 1) + [NLM_F_ACK]
        messages = [
            message(0, kind, flag, body) for (kind, body), flag in zip(requests, flags, strict=True)
        ]
        begin, end = (message(0, kind, 0, b"", NF_TABLES) for kind in (BATCH_BEGIN, BATCH_END))
        with link:
            link.send_together([begin, *messages, end])
            list(link.replies(accepted_codes=(0,)))


def _element_lists(
    elements: NatElements, encode: Callable[[NatMap, list[int]], bytes]
) -> Iterator[bytes]:
    """Yield encoded request attributes, each with at most MAX_LIST_ELEMENTS elements of one map."""
    for name in NatMap:
        numbers = list(elements.of(name))
        for at in range(0, len(numbers), MAX_LIST_ELEMENTS):
            items = encode(name, numbers[at : at + MAX_LIST_ELEMENTS])
            yield text_attribute(LIST_SET, name) + attribute(LIST_ELEMENTS | NESTED, items)


def encode_lookup(table: str, name: str, item: bytes) -> bytes:
    """Return the attributes that ask for the element of a set or map with an encoded key."""
    return place_attributes(table, name) + attribute(LIST_ELEMENTS | NESTED, item)


def place_attributes(table: str, name: str) -> bytes:
    """Return the attributes that name a table, and a set or map in it."""
    return text_attribute(LIST_TABLE, table) + text_attribute(LIST_SET, name)
