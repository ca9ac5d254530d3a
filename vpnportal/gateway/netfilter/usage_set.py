"""Times at which translations last carried a packet, from the usage set of the portal's table."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vpnportal.gateway.netfilter import ruleset
from vpnportal.gateway.netfilter.map_elements import (
    GET_ELEMENT,
    LIST_ELEMENTS,
    place_attributes,
)
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netlink_messages import NLM_F_DUMP, parse_attributes

# enum nft_set_elem_attributes and nft_data_attributes.
KEY, TIMEOUT, EXPIRATION, DATA_VALUE = 1, 4, 5, 1
# An element in a dump: headers, two addresses, a header, milliseconds until it expires. Linux 6.1
# also names the timeout of the set, and for some processors adds padding.
LENGTH, PAIR = struct.Struct("=H"), struct.Struct("!II")
ELEMENT = struct.Struct("!12xII4xQ")


class TranslationUse(NamedTuple):
    """An internal and a customer address as numbers, and the seconds since their last packet."""

    internal: int
    customer: int
    seconds: int


def read_usage_set(link: NetlinkSocket) -> list[TranslationUse] | None:
    """Return the last use of each address pair in the usage set; None if there is no set.

    The set contains the pairs that carried a packet within RETENTION_SECONDS. Raises GatewayError
    if nftables cannot be read.
    """
    with link:
        place = place_attributes(ruleset.TABLE, ruleset.USAGE_SET)
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place)
        # The kernel sends one reply for an empty set and none for a missing set.
        lists = [parse_attributes(body).get(LIST_ELEMENTS, b"") for _, body in link.replies()]
    return [use for items in lists for use in _parse_uses(items)] if lists else None


def _parse_uses(items: bytes) -> Iterator[TranslationUse]:
    at = 0
    while at + LENGTH.size <= len(items):
        (length,) = LENGTH.unpack_from(items, at)
        if length == ELEMENT.size:
            yield _use(*ELEMENT.unpack_from(items, at))
        elif use := _parse_use(parse_attributes(items[at + 4 : at + length])):
            yield use
        at += max(length + 3 & ~3, 4)


def _parse_use(element: dict[int, bytes]) -> TranslationUse | None:
    """Return the use of an element with more attributes; None if the rules did not add it.

    Elements of the rules have the timeout of the set.
    """
    timeout = int.from_bytes(element.get(TIMEOUT, b""), "big")
    if EXPIRATION not in element or timeout not in (0, ruleset.RETENTION_SECONDS * 1000):
        return None
    internal, customer = PAIR.unpack(parse_attributes(element[KEY])[DATA_VALUE])
    return _use(internal, customer, int.from_bytes(element[EXPIRATION], "big"))


def _use(internal: int, customer: int, remaining_ms: int) -> TranslationUse:
    seconds = ruleset.RETENTION_SECONDS - remaining_ms // 1000
    return TranslationUse(internal, customer, max(0, seconds))
