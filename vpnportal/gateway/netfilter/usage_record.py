"""The usage set as a record of flows: a removed pair that is not in it has no flow to delete.

A search in conntrack walks the flows of all tunnels. A lookup in the usage set takes 0.015 ms.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Container, Iterable
from pathlib import Path
from typing import TypeAlias

from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import netlink, ruleset
from vpnportal.gateway.netfilter.map_elements import encode_lookup, get_elements
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netlink_messages import NESTED, attribute, parse_attributes

# An internal address and the customer's address, as numbers.
Pair: TypeAlias = "tuple[int, int]"

# enum nft_list_attributes, nft_set_elem_attributes and nft_data_attributes.
LIST_ITEM, ELEMENT_KEY, ELEMENT_EXPIRATION, DATA_VALUE = 1, 1, 5, 1
PAIR = struct.Struct("!II")
# One search takes as long as this many lookups.
MAX_LOOKUPS = 500
TIMEOUTS = Path("/proc/sys/net/netfilter")
TIMEOUTS_READ_SECONDS = 60.0
# The record begins with the rules; the kernel's clocks of element and flow differ by less.
MARGIN_SECONDS = 60


class UsageRecord:
    """The usage set, asked for removed pairs.

    Every packet of a translated flow renews its pair in the usage set. A pair that is not in the
    set therefore has no flow, except in the cases that `may_have_flows` lists.
    """

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        self._longest_timeout = 0
        self._timeouts_read_at = -TIMEOUTS_READ_SECONDS

    def may_have_flows(self, pairs: Collection[Pair], gateway: Container[int]) -> set[Pair]:
        """Return those of the pairs that may have flows. `gateway` has the gateway's addresses.

        All pairs may have flows if they are many, if the set cannot be read, or if it may lack the
        pair of a flow:

        - The rules were written not longer ago than conntrack keeps an idle flow. Without them, a
          flow that still exists may have begun unrecorded. The same if the set was emptied.
        - The kernel could not record a packet, because the set was full.
        - conntrack keeps an idle flow longer than the set keeps its pair.

        So may a pair whose customer address is the gateway's: its packets are not forwarded.
        """
        if not pairs:
            return set()
        try:
            known = self._lookup(pairs) if len(pairs) <= MAX_LOOKUPS else None
        except GatewayError:
            known = None
        if known is None:
            return set(pairs)
        return {pair for pair in pairs if pair in known or pair[1] in gateway}

    def _lookup(self, pairs: Iterable[Pair]) -> set[Pair] | None:
        """Return those of the pairs that are in the set; None if the set is no complete record."""
        expirations = self._expirations([ruleset.RECORD_START, *pairs])
        start = expirations.pop(ruleset.RECORD_START, None)
        if start is None or not self._is_complete(ruleset.RECORD_SECONDS - start):
            return None
        return set(expirations)

    def _is_complete(self, age_seconds: float) -> bool:
        longest = self._read_longest_timeout()
        return (
            longest + MARGIN_SECONDS < min(age_seconds, ruleset.RETENTION_SECONDS)
            and netlink.read_counters(self._link, ruleset.TABLE).get(ruleset.UNRECORDED) == 0
        )

    def _expirations(self, pairs: list[Pair]) -> dict[Pair, float]:
        """Return the seconds until each of the pairs expires that are in the set."""
        requests = [
            (number, encode_lookup(ruleset.TABLE, ruleset.USAGE_SET, _item(pair)))
            for number, pair in enumerate(pairs)
        ]
        answers = get_elements(self._link, requests)
        return {pairs[number]: _expiration(items) for number, items in answers}

    def _read_longest_timeout(self) -> int:
        """Return the longest time in seconds for which conntrack keeps an idle flow."""
        now = time.monotonic()
        if now - self._timeouts_read_at >= TIMEOUTS_READ_SECONDS:
            self._longest_timeout = longest_timeout()
            self._timeouts_read_at = now
        return self._longest_timeout


def longest_timeout() -> int:
    """Return the longest of conntrack's timeouts in this network namespace, in seconds.

    Raises GatewayError if they cannot be read.
    """
    try:
        return max(int(file.read_text()) for file in TIMEOUTS.glob("nf_conntrack_*timeout*"))
    except (OSError, ValueError) as error:
        raise GatewayError(f"conntrack's timeouts cannot be read: {error}.") from error


def _item(pair: Pair) -> bytes:
    key = attribute(DATA_VALUE, PAIR.pack(*pair))
    return attribute(LIST_ITEM | NESTED, attribute(ELEMENT_KEY | NESTED, key))


def _expiration(items: bytes) -> float:
    item = parse_attributes(items)[LIST_ITEM]
    return int.from_bytes(parse_attributes(item)[ELEMENT_EXPIRATION], "big") / 1000
