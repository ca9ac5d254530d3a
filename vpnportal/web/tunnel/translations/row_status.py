"""Status of each row of the translation table: live or not, and the last use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.dateformat import format as formatted
from django.utils.timesince import timesince

from vpnportal.models import Concentrator, Revision, TranslationUsage, Tunnel
from vpnportal.services import StateLabel
from vpnportal.web.tunnel.translations.submitted_rows import CustomerPair

# The monitor reads the usage every minute. After two minutes a reading is missing.
USAGE_MAX_AGE = timedelta(minutes=2)
LIVE, NOT_APPLIED = "Live", "Not applied yet"


class RowStatus(NamedTuple):
    """CSS class and label of a row's status, and a text about the last use of its translation."""

    slug: str = ""
    label: str = ""
    last_use: str = ""


@dataclass(frozen=True)
class RowStatuses:
    """Data from which the statuses in a tunnel's translation table are computed.

    `live` has the Customer IP of each translation that the concentrator holds, by internal address.
    `usage` has (Customer IP, last use in minutes since 1970) by internal address.
    """

    live: Mapping[str, str]
    is_online: bool
    is_disconnected: bool
    concentrator: Concentrator
    usage: Mapping[str, Any]

    def of(self, address: str, saved: CustomerPair | None) -> RowStatus:
        """Return the status of an internal address; `saved` is its draft translation, or None."""
        live = self.live.get(address)
        if live is None:
            return RowStatus("waiting", NOT_APPLIED) if saved else RowStatus()
        last_use = self._last_use(address, live)
        if self.is_disconnected:
            return RowStatus("waiting", StateLabel.DISCONNECTED, last_use)
        if saved is None:
            return RowStatus("ending", f"{LIVE} until the next Apply: {live}", last_use)
        if saved.customer != live:
            return RowStatus("waiting", f"{NOT_APPLIED}, {live} is live", last_use)
        if not self.is_online:
            return RowStatus("unknown", StateLabel.UNKNOWN, last_use)
        return RowStatus("live", LIVE, last_use)

    def _last_use(self, address: str, live: str) -> str:
        customer, minute = self.usage.get(address, ("", 0))
        return self._ago(minute) if customer == live else self._never

    def _ago(self, minute: int) -> str:
        if minute not in self._texts:
            used_at = datetime.fromtimestamp(minute * 60, UTC)
            if self._now - used_at < timedelta(minutes=2):
                text = "used just now" if self._is_usage_current else "last use unknown"
            else:
                text = f"last used {timesince(used_at, self._now, depth=1)} ago"
            self._texts[minute] = text
        return self._texts[minute]

    @cached_property
    def _texts(self) -> dict[int, str]:
        return {}

    @cached_property
    def _now(self) -> datetime:
        return timezone.now()

    @cached_property
    def _is_usage_current(self) -> bool:
        read_at = self.concentrator.used_read_at
        return self.is_online and read_at is not None and self._now - read_at < USAGE_MAX_AGE

    @cached_property
    def _never(self) -> str:
        since = self.concentrator.used_since
        if not self._is_usage_current or since is None:
            return "last use unknown"
        is_recent = self._now - since < timedelta(days=1)
        local = timezone.localtime(since)
        return f"never used since {formatted(local, 'H:i T' if is_recent else 'j M Y')}"


def row_statuses_of(tunnel: Tunnel, live: Revision | None) -> RowStatuses:
    """Return the status data of a tunnel with this live revision, or with none; one query."""
    usage = TranslationUsage.objects.filter(tunnel=tunnel).first()
    concentrator = live.concentrator if live else tunnel.concentrator
    applied = live.opened.translations if live else ()
    return RowStatuses(
        live={str(row.internal): str(row.customer) for row in applied},
        is_online=concentrator.is_online(),
        is_disconnected=tunnel.disconnected_at is not None,
        concentrator=concentrator,
        usage=usage.pairs if usage else {},
    )
