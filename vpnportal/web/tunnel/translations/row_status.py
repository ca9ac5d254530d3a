"""Whether the translation of a row is live on the concentrator, and when it was last used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils import timezone
from django.utils.dateformat import format as formatted
from django.utils.timesince import timesince

from vpnportal.models import Concentrator, Revision, TranslationUsage, Tunnel
from vpnportal.web.tunnel.translations.submitted_rows import CustomerPair

# Twice missed and more, and nobody knows.
READ_LATELY = timedelta(minutes=2)
NOTHING = ("", "", "")


@dataclass(frozen=True)
class RowStatuses:
    """What is known of one tunnel's rows.

    `live` has the customer's address by internal address, as the concentrator holds it.
    """

    live: Mapping[str, str]
    in_sight: bool
    held: bool
    concentrator: Concentrator
    pairs: Mapping[str, Any]

    def of(self, at: str, kept: CustomerPair | None) -> tuple[str, str, str]:
        """A class, the row's state in words, and its last use; empty where there is nothing."""
        live = self.live.get(at)
        if live is None:
            return ("waiting", "not applied yet", "") if kept else NOTHING
        if self.held:
            return "waiting", "disconnected", self._used(at, live)
        if kept is None:
            return "ending", f"{live} until the next Apply", self._used(at, live)
        if kept.customer != live:
            return "waiting", f"not applied yet, {live} is live", self._used(at, live)
        if not self.in_sight:
            return "unknown", "unknown", self._used(at, live)
        return "live", "live", self._used(at, live)

    def _used(self, at: str, live: str) -> str:
        customer, minute = self.pairs.get(at, ("", 0))
        if customer == live:
            return self._ago(minute)
        return self._never

    def _ago(self, minute: int) -> str:
        if minute not in self._texts:
            then = datetime.fromtimestamp(minute * 60, UTC)
            if self._now - then < timedelta(minutes=2):
                text = "used just now" if self._known else "last use unknown"
            else:
                text = f"last used {timesince(then, self._now, depth=1)} ago"
            self._texts[minute] = text
        return self._texts[minute]

    @cached_property
    def _texts(self) -> dict[int, str]:
        return {}

    @cached_property
    def _now(self) -> datetime:
        return timezone.now()

    @cached_property
    def _known(self) -> bool:
        read_at = self.concentrator.used_read_at
        return self.in_sight and read_at is not None and self._now - read_at < READ_LATELY

    @cached_property
    def _never(self) -> str:
        since = self.concentrator.used_since
        if not self._known or since is None:
            return "last use unknown"
        there = timezone.localtime(since)
        recent = self._now - since < timedelta(days=1)
        return f"never used since {formatted(there, 'H:i T' if recent else 'j M Y')}"


def row_statuses_of(tunnel: Tunnel, revision: Revision | None) -> RowStatuses:
    """As the concentrator holds its live revision, whose specification is opened; one query."""
    used = TranslationUsage.objects.filter(tunnel=tunnel).first()
    concentrator = revision.concentrator if revision else tunnel.concentrator
    applied = revision.opened.translations if revision else ()
    return RowStatuses(
        live={str(row.internal): str(row.customer) for row in applied},
        in_sight=concentrator.is_online(),
        held=tunnel.disconnected_at is not None,
        concentrator=concentrator,
        pairs=used.pairs if used else {},
    )
