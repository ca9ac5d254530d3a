"""When address translations last carried traffic: written down by the minute, if it changed.

nftables remembers it; a reading costs the same whoever sends, and no packet waits for one.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import TypeAlias

from django.db import transaction
from django.utils import timezone

from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netfilter.ruleset import RETENTION_SECONDS
from vpnportal.gateway.netfilter.usage_set import read_usage_set
from vpnportal.models import Concentrator, Revision, Subnet, TranslationUsage

log = logging.getLogger(__name__)

# So often, or so seldom that reading and writing take a twentieth of the time.
READ_SECONDS, READ_SHARE = 20.0, 20
# Other writers get their turn after so many tunnels.
TUNNELS_AT_ONCE = 500

Pair: TypeAlias = "tuple[int, int]"


class UsageReader:
    """The readings of one concentrator; `read_when_due` is called about once a second."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._link = NetlinkSocket()
        self._written: dict[Pair, int] = {}
        self._next = 0.0

    def read_when_due(self) -> None:
        """It does nothing most of the time."""
        began = time.monotonic()
        if began < self._next:
            return
        try:
            self._read()
        except GatewayError as error:
            log.warning(
                "%s does not tell the use of its translations: %s", self._concentrator, error
            )
        took = time.monotonic() - began
        self._next = time.monotonic() + max(READ_SECONDS, took * READ_SHARE)

    def _read(self) -> None:
        at, uses = timezone.now(), read_usage_set(self._link)
        if uses is None:
            return
        now = at.timestamp()
        known = self._written
        minutes = {(one.internal, one.customer): int(now - one.seconds) // 60 for one in uses}
        # The same packet may be a second older or younger in the next reading.
        newer = {pair: one for pair, one in minutes.items() if one > known.get(pair, 0)}
        save_usage(self._concentrator, newer)
        save_read_time(self._concentrator, at)
        self._written = {pair: max(one, known.get(pair, 0)) for pair, one in minutes.items()}


def save_usage(concentrator: Concentrator, newer: Mapping[Pair, int]) -> None:
    """Pairs of addresses, and the minutes since 1970 in which they were used; no later than now."""
    of_tunnel = _by_tunnel(concentrator, newer) if newer else {}
    tunnels = sorted(of_tunnel)
    for at in range(0, len(tunnels), TUNNELS_AT_ONCE):
        chunk = tunnels[at : at + TUNNELS_AT_ONCE]
        with transaction.atomic():
            rows = TranslationUsage.objects.select_for_update().in_bulk(
                chunk, field_name="tunnel_id"
            )
            TranslationUsage.objects.bulk_create(
                [
                    _merged(rows.get(pk) or TranslationUsage(tunnel_id=pk), of_tunnel[pk])
                    for pk in chunk
                ],
                update_conflicts=True,
                update_fields=["pairs"],
                unique_fields=["tunnel"],
            )


def save_read_time(concentrator: Concentrator, at: datetime) -> None:
    """Until now the use is known, and without a gap since the first reading."""
    known = Concentrator.objects.filter(pk=concentrator.pk)
    known.update(used_read_at=at)
    forgotten = at - timedelta(seconds=RETENTION_SECONDS)
    if concentrator.used_since is None or (concentrator.used_read_at or at) < forgotten:
        known.update(used_since=at)
        concentrator.used_since = at
    concentrator.used_read_at = at


def _by_tunnel(concentrator: Concentrator, newer: Mapping[Pair, int]) -> dict[int, dict[Pair, int]]:
    """Each pair with the tunnel whose static NAT subnet holds it; the rest is nobody's.

    What was used before a tunnel was ordered was the use of whoever had its addresses then.
    """
    running = set(
        Revision.objects.live_or_applying()
        .filter(concentrator=concentrator)
        .values_list("tunnel", flat=True)
    )
    subnets = Subnet.objects.filter(kind=Subnet.Kind.STATIC_NAT, tunnels__isnull=False)
    rows = subnets.values_list("first", "last", "tunnels", "tunnels__ordered_at")
    ranges = sorted((row for row in rows if row[2] in running), key=lambda row: row[0])
    found: dict[int, dict[Pair, int]] = defaultdict(dict)
    for pair, minute in newer.items():
        at = bisect_right(ranges, pair[0], key=lambda one: one[0]) - 1
        if at < 0:
            continue
        _, last, tunnel, ordered_at = ranges[at]
        if pair[0] <= last and minute >= (ordered_at.timestamp() // 60 if ordered_at else 0):
            found[tunnel][pair] = minute
    return found


def _merged(row: TranslationUsage, newer: Mapping[Pair, int]) -> TranslationUsage:
    """Of an address that got another host, the one that was used last counts."""
    for (internal, customer), minute in newer.items():
        key = str(IPv4Address(internal))
        if minute >= row.pairs.get(key, ("", 0))[1]:
            row.pairs[key] = (str(IPv4Address(customer)), minute)
    return row
