"""Traffic of one charon's tunnels, counted and written to the database at a steady rate.

A row is written within a second after the sample that changed it, unless too many rows wait: a
write must not hold SQLite's lock for long.
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
from vpnportal.models.row_locks import lock_records, write_records
from vpnportal.reconciler.sa_status_store import tunnels_of

# One transaction with at most this many pairs of subnets at this interval: ten thousand tunnels of
# one pair take 50 s, and no other writer waits long for SQLite's one lock.
WRITE_SECONDS = 0.25
MAX_PAIRS = 50


class TrafficRecorder:
    """The traffic counters of one concentrator, for one lifetime of its charon."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._spans = saved_spans(concentrator)
        # The last sample of all SAs. Traffic that was not written by then had not changed.
        self._sampled_at = moment_of(self._spans[-1][1]) if self._spans else None
        self._accountant = TrafficAccountant(saved_samples(concentrator), self._sampled_at)
        self._unwritten: dict[int, TrafficDelta] = {}
        self._write_at = 0.0

    @property
    def unwritten(self) -> int:
        """The number of tunnels with traffic that is not written yet."""
        return len(self._unwritten)

    def close(self) -> None:
        """Write all counted traffic."""
        while self._unwritten:
            self._write()

    def add_final(self, samples: Iterable[IkeSaSample]) -> None:
        """Add the last counters of CHILD_SAs that went down or were rekeyed."""
        self._add(self._accountant.count_final(samples, timezone.now()))

    def sample_all(
        self,
        connections: Mapping[str, LoadedConnection],
        samples: Iterable[IkeSaSample],
        at: datetime,
    ) -> None:
        """Add the counters of all SAs of charon."""
        self._add(self._accountant.sample(connections, samples, at))
        spans = merge_observed_minutes(self._spans, self._sampled_at, at)
        if spans != self._spans:
            save_spans(self._concentrator, spans)
        self._spans, self._sampled_at = spans, at

    def sample_one(
        self,
        connections: Mapping[str, LoadedConnection],
        samples: Iterable[IkeSaSample],
        at: datetime,
        tunnel: int,
    ) -> None:
        """Add the counters of the SAs of one tunnel."""
        self._add(self._accountant.sample(connections, samples, at, tunnel))

    def write_if_due(self) -> None:
        """Write the traffic of the next tunnels, at most every WRITE_SECONDS."""
        if self._unwritten and time.monotonic() >= self._write_at:
            self._write()

    def _add(self, deltas: Mapping[int, TrafficDelta]) -> None:
        for tunnel, delta in deltas.items():
            earlier = self._unwritten.get(tunnel)
            self._unwritten[tunnel] = earlier.merge(delta) if earlier else delta

    def _write(self) -> None:
        deltas = {tunnel: self._unwritten.pop(tunnel) for tunnel in self._next_tunnels()}
        save_traffic(self._concentrator, deltas)
        self._write_at = time.monotonic() + WRITE_SECONDS

    def _next_tunnels(self) -> list[int]:
        """Return the tunnel ids to write next: changed SAs first, then the longest unwritten."""
        tunnels: list[int] = []
        pairs = 0
        for tunnel in sorted(self._unwritten, key=lambda pk: not self._unwritten[pk].has_sa_change):
            pairs += max(1, len(self._unwritten[tunnel].pairs))
            if tunnels and pairs > MAX_PAIRS:
                break
            tunnels.append(tunnel)
        return tunnels


def saved_samples(concentrator: Concentrator) -> dict[int, tuple[IkeSaSample, ...]]:
    """Return the saved IKE_SA samples by tunnel id."""
    rows = Traffic.objects.filter(concentrator=concentrator).exclude(lines=[])
    return {tunnel: from_json(lines) for tunnel, lines in rows.values_list("tunnel_id", "lines")}


def saved_spans(concentrator: Concentrator) -> list[list[int]]:
    """Return the minutes of the last hour with a sample of all SAs, as spans [first, last]."""
    return Concentrator.objects.values_list("observed_minutes", flat=True).get(pk=concentrator.pk)


def save_spans(concentrator: Concentrator, spans: Iterable[Iterable[int]]) -> None:
    """Write the minutes of the last hour with a sample of all SAs."""
    Concentrator.objects.filter(pk=concentrator.pk).update(observed_minutes=spans)


def save_traffic(concentrator: Concentrator, deltas: Mapping[int, TrafficDelta]) -> None:
    """Add traffic to the rows of the tunnels that this concentrator reports."""
    now = timezone.now()
    with transaction.atomic():
        tunnels = list(tunnels_of(concentrator).filter(pk__in=deltas).values_list("pk", flat=True))
        new = [Traffic(tunnel_id=pk, concentrator=concentrator, taken_at=now) for pk in tunnels]
        changed = []
        for pk, row in lock_records(Traffic.objects.all(), tunnels, new).items():
            _add_to_row(row, deltas[pk], last_hour(now))
            row.concentrator = concentrator
            changed.append(row)
        columns = ("concentrator", "taken_at", "lines", "pairs", "minutes")
        write_records(Traffic.objects.all(), changed, columns)


def _add_to_row(row: Traffic, delta: TrafficDelta, hour: range) -> None:
    row.taken_at = delta.at
    if delta.ike_sas is not None:
        row.lines = as_json(delta.ike_sas)
    row.pairs = _add_totals(row.pairs, delta)
    row.minutes = _add_minutes(row, delta, hour)


def _add_totals(saved: Mapping[str, list], delta: TrafficDelta) -> dict[str, list]:
    """Return the totals by selectors. Drop selectors that are neither configured nor in use."""
    totals = dict(saved)
    for selectors, traffic in delta.pairs.items():
        since, *counts = totals.get(selectors, [traffic.since.isoformat(), *NOTHING])
        totals[selectors] = [since, *TrafficCounts(*counts).plus(traffic.counts)]
    if delta.loaded_pairs is None:
        return totals
    in_use = {child_sa.pair for ike_sa in delta.ike_sas or () for child_sa in ike_sa.child_sas}
    return {
        selectors: total
        for selectors, total in totals.items()
        if selectors in delta.loaded_pairs | in_use
    }


def _add_minutes(row: Traffic, delta: TrafficDelta, hour: range) -> dict[str, list[list[int]]]:
    """Return the traffic per minute of the last hour by selectors.

    Selectors that are no longer in `row.pairs` are summed under `Traffic.GONE`.
    """
    minutes = dict(row.minutes)
    for selectors, traffic in delta.pairs.items():
        new = ([minute, *counts] for minute, counts in traffic.minutes.items())
        minutes[selectors] = _merge_minutes(minutes.get(selectors, []), new)
    for selectors in minutes.keys() - row.pairs.keys() - {Traffic.GONE}:
        dropped = minutes.pop(selectors)
        minutes[Traffic.GONE] = _merge_minutes(minutes.get(Traffic.GONE, []), dropped)
    recent = {
        selectors: [entry for entry in entries if entry[0] in hour]
        for selectors, entries in minutes.items()
    }
    return {selectors: entries for selectors, entries in recent.items() if entries}


def _merge_minutes(saved: list[list[int]], new: Iterable[list[int]]) -> list[list[int]]:
    """Return entries [minute, bytes in, bytes out, packets in, packets out], summed by minute."""
    by_minute = {entry[0]: entry for entry in saved}
    for minute, *counts in new:
        _, *before = by_minute.get(minute, [minute, *NOTHING])
        by_minute[minute] = [minute, *TrafficCounts(*before).plus(TrafficCounts(*counts))]
    return [by_minute[minute] for minute in sorted(by_minute)]
