"""The traffic of the last hour as SVG paths and as text; minutes without a sample are gaps."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from vpnportal.domain.traffic.counters import NOTHING, TrafficCounts, last_hour, moment_of
from vpnportal.domain.traffic.units import packets, rate, size

# Units of the chart: a minute is 1 wide, the peak is HEIGHT high; in is above the axis, out below.
# Any traffic is at least MIN_HEIGHT high, so that a small chart shows it.
HEIGHT, MIN_HEIGHT = 30, 2
AXIS = HEIGHT + 1


@dataclass(frozen=True, slots=True)
class HourChart:
    """The counts of the last 60 minutes, None for minutes without a sample."""

    begins_at: datetime
    minutes: tuple[TrafficCounts | None, ...]

    @property
    def total(self) -> TrafficCounts:
        """The sum of all measured minutes."""
        total = NOTHING
        for counts in self.minutes:
            total = total.plus(counts or NOTHING)
        return total

    @property
    def is_measured(self) -> bool:
        """True if any minute has a sample."""
        return any(counts is not None for counts in self.minutes)

    @property
    def totals(self) -> tuple[str, str]:
        """The received and the sent total as text, such as "1.2 GB in (900,000 packets)"."""
        total = self.total
        return (
            f"{size(total.bytes_in)} in ({packets(total.packets_in)})",
            f"{size(total.bytes_out)} out ({packets(total.packets_out)})",
        )

    @property
    def peak(self) -> tuple[str, datetime] | None:
        """The highest rate of a minute in either direction with its time, None without traffic."""
        highest, offset = max(
            (_higher(counts), -index) for index, counts in enumerate(self.minutes)
        )
        if not highest:
            return None
        return rate(highest, 60), self.begins_at - timedelta(minutes=offset)

    @property
    def gaps(self) -> list[tuple[datetime, datetime]]:
        """The spans without a sample, each from its start to its end."""
        return [
            (self.begins_at + timedelta(minutes=first), self.begins_at + timedelta(minutes=last))
            for first, last in _runs([counts is None for counts in self.minutes])
        ]

    @property
    def incoming(self) -> str:
        """The SVG path of incoming bytes, a step per minute."""
        return self._steps([counts.bytes_in if counts else 0 for counts in self.minutes], -1)

    @property
    def outgoing(self) -> str:
        """The SVG path of outgoing bytes."""
        return self._steps([counts.bytes_out if counts else 0 for counts in self.minutes], 1)

    @property
    def axis(self) -> str:
        """The SVG path of the axis, interrupted at minutes without a sample."""
        measured = _runs([counts is not None for counts in self.minutes])
        return "".join(f"M{first} {AXIS}H{last}" for first, last in measured)

    def _steps(self, numbers: Sequence[int], down: int) -> str:
        if not any(numbers):
            return ""
        highest = max(_higher(counts) for counts in self.minutes)
        heights = [
            max(MIN_HEIGHT, number * HEIGHT // highest) if number else 0 for number in numbers
        ]
        steps = (
            f"V{AXIS + down * height}h{len(list(minutes))}" for height, minutes in groupby(heights)
        )
        return f"M0 {AXIS}{''.join(steps)}V{AXIS}z"


def expand_spans(spans: Iterable[Sequence[int]]) -> frozenset[int]:
    """Return the numbers of all minutes in [first, last] spans, both ends included."""
    return frozenset(minute for first, last in spans for minute in range(first, last + 1))


def build_hour_chart(
    minutes: Iterable[Sequence[int]], measured: Container[int], now: datetime
) -> HourChart:
    """Return the chart of the last hour from lists of [minute, *counts].

    The counts of equal minutes are summed. A measured minute without counts had no traffic.
    """
    traffic: dict[int, TrafficCounts] = {}
    for minute, *counts in minutes:
        traffic[minute] = traffic.get(minute, NOTHING).plus(TrafficCounts(*counts))
    hour = last_hour(now)
    return HourChart(
        moment_of(hour[0]),
        tuple(traffic.get(minute, NOTHING if minute in measured else None) for minute in hour),
    )


def _higher(counts: TrafficCounts | None) -> int:
    return max(counts.bytes_in, counts.bytes_out) if counts else 0


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first index of each run of true flags, and the index after its last."""
    start: int | None = None
    for index, flag in enumerate((*flags, False)):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            yield start, index
            start = None
