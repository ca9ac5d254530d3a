"""The last use of each translation, recorded by the minute.

A set in nftables holds the last uses. Reading it costs the same at any traffic, and delays no
packet.
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
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netfilter.ruleset import RETENTION_SECONDS
from vpnportal.gateway.netfilter.usage_set import read_usage_set
from vpnportal.models import Concentrator, Revision, Subnet, TranslationUsage
from vpnportal.models.row_locks import lock_records, write_records

log = logging.getLogger(__name__)

# Interval of reads: longer if needed, so that reading takes at most a twentieth of the time.
READ_SECONDS, READ_SHARE = 20.0, 20
# Tunnels per transaction, so that other writers get their turn.
TUNNELS_PER_WRITE = 500

# An internal address and the customer's address, as numbers.
Translation: TypeAlias = "tuple[int, int]"


class UsageReader:
    """Reader of a concentrator's translation uses. Call `read_if_due` once a second."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._netlink = NetlinkSocket()
        self._saved: dict[Translation, int] = {}
        self._next_read = 0.0

    def read_if_due(self) -> None:
        """Read and save the uses, at most every READ_SECONDS."""
        began = time.monotonic()
        if began < self._next_read:
            return
        try:
            self._read()
        except GatewayError as error:
            log.warning("%s: the use of translations cannot be read: %s", self._concentrator, error)
        duration = time.monotonic() - began
        self._next_read = time.monotonic() + max(READ_SECONDS, duration * READ_SHARE)

    def _read(self) -> None:
        at, uses = timezone.now(), read_usage_set(self._netlink)
        if uses is None:
            return
        now, saved = at.timestamp(), self._saved
        minutes = {(use.internal, use.customer): int(now - use.seconds) // 60 for use in uses}
        # The age of one packet may differ by a second between two reads.
        newer = {key: minute for key, minute in minutes.items() if minute > saved.get(key, 0)}
        save_usage(self._concentrator, newer)
        save_read_time(self._concentrator, at)
        self._saved = {key: max(minute, saved.get(key, 0)) for key, minute in minutes.items()}


def save_usage(concentrator: Concentrator, uses: Mapping[Translation, int]) -> None:
    """Write the minutes since 1970 in which translations were last used."""
    by_tunnel = _by_tunnel(concentrator, uses) if uses else {}
    tunnels = sorted(by_tunnel)
    for start in range(0, len(tunnels), TUNNELS_PER_WRITE):
        chunk = tunnels[start : start + TUNNELS_PER_WRITE]
        with transaction.atomic():
            new = [TranslationUsage(tunnel_id=pk) for pk in chunk]
            rows = lock_records(TranslationUsage.objects.all(), chunk, new)
            merged = [_merged(row, by_tunnel[pk]) for pk, row in rows.items()]
            write_records(TranslationUsage.objects.all(), merged, ("pairs",))


def save_read_time(concentrator: Concentrator, at: datetime) -> None:
    """Write the time of a read of the uses to `used_read_at`.

    Also write it to `used_since` at the first read, and after a gap over RETENTION_SECONDS.
    """
    row = Concentrator.objects.filter(pk=concentrator.pk)
    row.update(used_read_at=at)
    oldest = at - timedelta(seconds=RETENTION_SECONDS)
    if concentrator.used_since is None or (concentrator.used_read_at or at) < oldest:
        row.update(used_since=at)
        concentrator.used_since = at
    concentrator.used_read_at = at


def _by_tunnel(
    concentrator: Concentrator, uses: Mapping[Translation, int]
) -> dict[int, dict[Translation, int]]:
    """Return the uses by the tunnel whose static NAT subnet holds the internal address.

    A use before the order of the tunnel belongs to an earlier tunnel with this address.
    """
    # The gateway may have the addresses of a held tunnel in another one.
    held = concentrator.held_tunnels.undecided().values("tunnel_id")
    current = set(
        Revision.objects.live_or_applying()
        .filter(concentrator=concentrator)
        .exclude(tunnel__in=held)
        .values_list("tunnel", flat=True)
    )
    subnets = Subnet.objects.filter(kind=Subnet.Kind.STATIC_NAT, tunnels__isnull=False)
    columns = subnets.values_list("first", "last", "tunnels", "tunnels__ordered_at")
    ranges = sorted((row for row in columns if row[2] in current), key=lambda row: row[0])
    by_tunnel: dict[int, dict[Translation, int]] = defaultdict(dict)
    for translation, minute in uses.items():
        index = bisect_right(ranges, translation[0], key=lambda row: row[0]) - 1
        if index < 0:
            continue
        _, last, tunnel, ordered_at = ranges[index]
        ordered_minute = ordered_at.timestamp() // 60 if ordered_at else 0
        if translation[0] <= last and minute >= ordered_minute:
            by_tunnel[tunnel][translation] = minute
    return by_tunnel


def _merged(row: TranslationUsage, uses: Mapping[Translation, int]) -> TranslationUsage:
    """Add the uses to the row and return it. The later use of an internal address is kept."""
    for (internal, customer), minute in uses.items():
        key = str(IPv4Address(internal))
        if minute >= row.pairs.get(key, ("", 0))[1]:
            row.pairs[key] = (str(IPv4Address(customer)), minute)
    return row
