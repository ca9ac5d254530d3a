"""What one charon's tunnels carry, on its way into the database: counted often, written steadily.

A row is written within a second after the look that found something new, as long as there are not
more of them than can be written without anybody else waiting for the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils import timezone

from vpnportal import tallies
from vpnportal.domain.desired import Shape
from vpnportal.domain.metering import Carried, Meter
from vpnportal.domain.traffic import Line, moment_of, watched
from vpnportal.models import Concentrator

# The hours of so many pairs of subnets in one transaction, and one transaction in so long: ten
# thousand tunnels of one pair in fifty seconds, and nobody waits long for SQLite's one lock.
WRITE_SECONDS = 0.25
PAIRS_AT_ONCE = 50


class Counting:
    """The counters of one concentrator, for one lifetime of its charon."""

    def __init__(self, lane: Concentrator) -> None:
        self._lane = lane
        self._spans = tallies.watched(lane)
        # Not later than the last look; what was not written then had not changed.
        self._looked_at = moment_of(self._spans[-1][1]) if self._spans else None
        self._meter = Meter(tallies.known(lane), self._looked_at)
        self._waiting: dict[int, Carried] = {}
        self._write_at = 0.0

    @property
    def waiting(self) -> int:
        """How many tunnels have something that is not written yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Write down what was counted."""
        while self._waiting:
            self._write()

    def ended(self, lines: Iterable[Line]) -> None:
        """What children had counted when they ended, or when others took their place."""
        self._add(self._meter.ended(lines, timezone.now()))

    def look(self, loaded: Mapping[str, Shape], lines: Iterable[Line], at: datetime) -> None:
        """All that charon has."""
        self._add(self._meter.look(loaded, lines, at))
        spans = watched(self._spans, self._looked_at, at)
        if spans != self._spans:
            tallies.note_watched(self._lane, spans)
        self._spans, self._looked_at = spans, at

    def look_at(
        self, loaded: Mapping[str, Shape], lines: Iterable[Line], at: datetime, tunnel: int
    ) -> None:
        """What charon has of one tunnel."""
        self._add(self._meter.look(loaded, lines, at, tunnel))

    def write_what_is_due(self) -> None:
        """To be called often; it does nothing most of the time."""
        if self._waiting and time.monotonic() >= self._write_at:
            self._write()

    def _add(self, new: Mapping[int, Carried]) -> None:
        for tunnel, carried in new.items():
            before = self._waiting.get(tunnel)
            self._waiting[tunnel] = before.and_then(carried) if before else carried

    def _write(self) -> None:
        tallies.note(self._lane, {one: self._waiting.pop(one) for one in self._next()})
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
