"""Times at which translations last carried a packet, from the usage set of the portal's table."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vpnportal.gateway.netfilter import ruleset
from vpnportal.gateway.netfilter.map_elements import (
    GET_ELEMENT,
    LIST_ELEMENTS,
    LIST_SET,
    LIST_TABLE,
)
from vpnportal.gateway.netfilter.netlink import (
    NLM_F_DUMP,
    NetlinkSocket,
    parse_attributes,
    text_attribute,
)

# An element in a dump: headers, two addresses, a header, milliseconds until it expires.
LENGTH = struct.Struct("=H")
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
        place = text_attribute(LIST_TABLE, ruleset.TABLE) + text_attribute(
            LIST_SET, ruleset.USAGE_SET
        )
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place)
        # The kernel sends one reply for an empty set and none for a missing set.
        lists = [parse_attributes(body).get(LIST_ELEMENTS, b"") for _, body in link.replies()]
    return [use for items in lists for use in _parse_uses(items)] if lists else None


def _parse_uses(items: bytes) -> Iterator[TranslationUse]:
    at = 0
    while at + ELEMENT.size <= len(items):
        (length,) = LENGTH.unpack_from(items, at)
        # An element of another size was not added by the portal's rules.
        if length == ELEMENT.size:
            internal, customer, remaining = ELEMENT.unpack_from(items, at)
            yield TranslationUse(
                internal, customer, max(0, ruleset.RETENTION_SECONDS - remaining // 1000)
            )
        at += max(length + 3 & ~3, 4)
