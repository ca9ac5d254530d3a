"""How long ago each address translation carried a packet, as the set of our rules remembers it."""

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
from vpnportal.gateway.netfilter.netlink import NLM_F_DUMP, NetlinkSocket, attributes, string

# One element as the kernel writes it: headers, two addresses, a header, milliseconds left.
LENGTH = struct.Struct("=H")
MEMBER = struct.Struct("!12xII4xQ")


class TranslationUse(NamedTuple):
    """A pair of addresses as numbers, and how many seconds ago it carried a packet."""

    internal: int
    customer: int
    seconds: int


def last_used(link: NetlinkSocket) -> list[TranslationUse] | None:
    """Every pair that carried a packet lately; None where nothing remembers them yet.

    DeviceError where nftables cannot be read.
    """
    with link:
        place = string(LIST_TABLE, ruleset.TABLE) + string(LIST_SET, ruleset.USED)
        link.send(0, GET_ELEMENT, NLM_F_DUMP, place)
        # Of a set that is empty there is one answer, of one that is missing none.
        lists = [attributes(body).get(LIST_ELEMENTS, b"") for _, body in link.answers()]
    return [one for items in lists for one in _uses(items)] if lists else None


def _uses(items: bytes) -> Iterator[TranslationUse]:
    at = 0
    while at + MEMBER.size <= len(items):
        (length,) = LENGTH.unpack_from(items, at)
        # What has another form was put there by somebody else.
        if length == MEMBER.size:
            internal, customer, left = MEMBER.unpack_from(items, at)
            yield TranslationUse(
                internal, customer, max(0, ruleset.REMEMBERED_SECONDS - left // 1000)
            )
        at += max(length + 3 & ~3, 4)
