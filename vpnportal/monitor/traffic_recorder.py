"""What one charon's tunnels carry, on its way into the database: counted often, written steadily.

A row is written within a second after the look that found something new, as long as there are not
more of them than can be written without anybody else waiting for the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.traffic.accounting import TrafficAccountant, TrafficDelta
from vpnportal.domain.traffic.counters import (
    NOTHING,
    IkeSaSample,
    TrafficCounts,
    last_hour,
    merge_observed_minutes,
    moment_of,
)
from vpnportal.domain.traffic.sa_snapshot import as_json, from_json
from vpnportal.models import Concentrator, Traffic
from vpnportal.reconciler.sa_status_store import tunnels_of

# The hours of so many pairs of subnets in one transaction, and one transaction in so long: ten
# thousand tunnels of one pair in fifty seconds, and nobody waits long for SQLite's one lock.
WRITE_SECONDS = 0.25
PAIRS_AT_ONCE = 50


class TrafficRecorder:
    """The counters of one concentrator, for one lifetime of its charon."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._spans = observed_spans(concentrator)
        # Not later than the last look; what was not written then had not changed.
        self._looked_at = moment_of(self._spans[-1][1]) if self._spans else None
        self._meter = TrafficAccountant(saved_samples(concentrator), self._looked_at)
        self._waiting: dict[int, TrafficDelta] = {}
        self._write_at = 0.0

    @property
    def waiting(self) -> int:
        """How many tunnels have something that is not written yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Write down what was counted."""
        while self._waiting:
            self._write()

    def ended(self, lines: Iterable[IkeSaSample]) -> None:
        """What children had counted when they ended, or when others took their place."""
        self._add(self._meter.ended(lines, timezone.now()))

    def sample_all(
        self, loaded: Mapping[str, LoadedConnection], lines: Iterable[IkeSaSample], at: datetime
    ) -> None:
        """All that charon has."""
        self._add(self._meter.sample(loaded, lines, at))
        spans = merge_observed_minutes(self._spans, self._looked_at, at)
        if spans != self._spans:
            save_observed_spans(self._concentrator, spans)
        self._spans, self._looked_at = spans, at

    def sample_one(
        self,
        loaded: Mapping[str, LoadedConnection],
        lines: Iterable[IkeSaSample],
        at: datetime,
        tunnel: int,
    ) -> None:
        """What charon has of one tunnel."""
        self._add(self._meter.sample(loaded, lines, at, tunnel))

    def write_what_is_due(self) -> None:
        """To be called often; it does nothing most of the time."""
        if self._waiting and time.monotonic() >= self._write_at:
            self._write()

    def _add(self, new: Mapping[int, TrafficDelta]) -> None:
        for tunnel, carried in new.items():
            before = self._waiting.get(tunnel)
            self._waiting[tunnel] = before.and_then(carried) if before else carried

    def _write(self) -> None:
        save_traffic(self._concentrator, {one: self._waiting.pop(one) for one in self._next()})
        self._write_at = time.monotonic() + WRITE_SECONDS

    def _next(self) -> list[int]:
        """Those first that began or ended something, then those that wait longest."""
        several: list[int] = []
        room = PAIRS_AT_ONCE
        for tunnel in sorted(self._waiting, key=lambda one: not self._waiting[one].turned):
            room -= max(1, len(self._waiting[tunnel].pairs))
            if several and room < 0:
                break
            several.append(tunnel)
        return several


def saved_samples(concentrator: Concentrator) -> dict[int, tuple[IkeSaSample, ...]]:
    """What was written of each tunnel that runs at a concentrator."""
    rows = Traffic.objects.filter(concentrator=concentrator).exclude(lines=[])
    return {tunnel: from_json(lines) for tunnel, lines in rows.values_list("tunnel_id", "lines")}


def observed_spans(concentrator: Concentrator) -> list[list[int]]:
    """The minutes in which everything was looked at, as `save_observed_spans` wrote them."""
    return Concentrator.objects.values_list("observed_minutes", flat=True).get(pk=concentrator.pk)


def save_observed_spans(concentrator: Concentrator, spans: Iterable[Iterable[int]]) -> None:
    """The minutes of the last hour in which everything was looked at."""
    Concentrator.objects.filter(pk=concentrator.pk).update(observed_minutes=spans)


def save_traffic(concentrator: Concentrator, carried: Mapping[int, TrafficDelta]) -> None:
    """Add what is new to the rows of these tunnels, if this concentrator speaks for them."""
    now = timezone.now()
    with transaction.atomic():
        here = set(tunnels_of(concentrator).filter(pk__in=carried).values_list("pk", flat=True))
        rows = Traffic.objects.filter(tunnel__in=here).in_bulk(field_name="tunnel_id")
        Traffic.objects.bulk_create(
            [
                _added(
                    rows.get(tunnel) or Traffic(tunnel_id=tunnel),
                    concentrator,
                    carried[tunnel],
                    now,
                )
                for tunnel in sorted(here)
            ],
            update_conflicts=True,
            unique_fields=["tunnel"],
            update_fields=["concentrator", "taken_at", "lines", "pairs", "minutes"],
        )


def _added(row: Traffic, concentrator: Concentrator, new: TrafficDelta, now: datetime) -> Traffic:
    row.concentrator, row.taken_at = concentrator, new.at
    if new.ike_sas is not None:
        row.lines = as_json(new.ike_sas)
    row.pairs = _pairs(row.pairs, new)
    row.minutes = _minutes(row, new, last_hour(now))
    return row


def _pairs(kept: Mapping[str, list], new: TrafficDelta) -> dict[str, list]:
    """The sums by selectors, without those that the tunnel neither has any more nor carries."""
    pairs = dict(kept)
    for pair, tally in new.pairs.items():
        since, *before = pairs.get(pair, [tally.since.isoformat(), *NOTHING])
        pairs[pair] = [since, *TrafficCounts(*before).plus(tally.counts)]
    if new.wanted is None:
        return pairs
    run = {carrier.pair for line in new.ike_sas or () for carrier in line.child_sas}
    return {pair: sums for pair, sums in pairs.items() if pair in new.wanted | run}


def _minutes(row: Traffic, new: TrafficDelta, hour: range) -> dict[str, list[list[int]]]:
    """Those of the last hour; of selectors that were let go all together, as there may be many."""
    minutes = dict(row.minutes)
    for pair, tally in new.pairs.items():
        told = ([minute, *amounts] for minute, amounts in tally.minutes.items())
        minutes[pair] = _together(minutes.get(pair, []), told)
    for pair in minutes.keys() - row.pairs.keys() - {Traffic.GONE}:
        minutes[Traffic.GONE] = _together(minutes.get(Traffic.GONE, []), minutes.pop(pair))
    recent = ((pair, [one for one in few if one[0] in hour]) for pair, few in minutes.items())
    return {pair: few for pair, few in recent if few}


def _together(kept: list[list[int]], new: Iterable[list[int]]) -> list[list[int]]:
    """What is kept stays as it is where nothing is new."""
    minutes = {one[0]: one for one in kept}
    for minute, *amounts in new:
        _, *before = minutes.get(minute, [minute, *NOTHING])
        minutes[minute] = [minute, *TrafficCounts(*before).plus(TrafficCounts(*amounts))]
    return [minutes[minute] for minute in sorted(minutes)]
