"""The last hour of what carries packets, as a chart and in words.

What nobody measured is a gap, not zero.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from vpnportal.domain.traffic.counters import NOTHING, TrafficCounts, last_hour, moment_of
from vpnportal.domain.traffic.units import packets, rate, size

# The chart: a minute is one wide, and the highest so high; in above the axis and out below it. What
# is there at all is seen, also where the whole chart is small.
HEIGHT, LEAST = 30, 2
AXIS = HEIGHT + 1


@dataclass(frozen=True, slots=True)
class HourChart:
    """`minutes` are the last sixty; None where nobody measured."""

    begins_at: datetime
    minutes: tuple[TrafficCounts | None, ...]

    @property
    def total(self) -> TrafficCounts:
        """All that was measured."""
        total = NOTHING
        for amounts in self.minutes:
            total = total.plus(amounts or NOTHING)
        return total

    @property
    def measured(self) -> bool:
        """Whether anything is known."""
        return any(amounts is not None for amounts in self.minutes)

    @property
    def words(self) -> tuple[str, str]:
        """What came in and what went out, in words."""
        total = self.total
        return (
            f"{size(total.bytes_in)} in ({packets(total.packets_in)})",
            f"{size(total.bytes_out)} out ({packets(total.packets_out)})",
        )

    @property
    def peak(self) -> tuple[str, datetime] | None:
        """The highest rate of either direction, of a whole minute, and when it was; or None."""
        highest, at = max((_most(amounts), -at) for at, amounts in enumerate(self.minutes))
        if not highest:
            return None
        return rate(highest, 60), self.begins_at - timedelta(minutes=at)

    @property
    def gaps(self) -> list[tuple[datetime, datetime]]:
        """From when to when nobody measured."""
        return [
            (self.begins_at + timedelta(minutes=first), self.begins_at + timedelta(minutes=last))
            for first, last in _runs([amounts is None for amounts in self.minutes])
        ]

    @property
    def incoming(self) -> str:
        """The path of what came in: a step for each minute."""
        return self._steps([amounts.bytes_in if amounts else 0 for amounts in self.minutes], -1)

    @property
    def outgoing(self) -> str:
        """The path of what went out."""
        return self._steps([amounts.bytes_out if amounts else 0 for amounts in self.minutes], 1)

    @property
    def axis(self) -> str:
        """The path of the axis, with gaps where nobody measured."""
        measured = _runs([amounts is not None for amounts in self.minutes])
        return "".join(f"M{first} {AXIS}H{last}" for first, last in measured)

    def _steps(self, numbers: Sequence[int], down: int) -> str:
        if not any(numbers):
            return ""
        highest = max(_most(amounts) for amounts in self.minutes)
        heights = [max(LEAST, number * HEIGHT // highest) if number else 0 for number in numbers]
        steps = (
            f"V{AXIS + down * height}h{len(list(minutes))}" for height, minutes in groupby(heights)
        )
        return f"M0 {AXIS}{''.join(steps)}V{AXIS}z"


def looked_at(watched: Iterable[Sequence[int]]) -> frozenset[int]:
    """The minutes in these spans, which are first and last ones."""
    return frozenset(at for first, last in watched for at in range(first, last + 1))


def build_hour_chart(
    minutes: Iterable[Sequence[int]], measured: Container[int], now: datetime
) -> HourChart:
    """The hour of [minute, amounts …], where one minute may be told of several times.

    A measured minute that nothing is told of carried nothing.
    """
    carried: dict[int, TrafficCounts] = {}
    for minute, *amounts in minutes:
        carried[minute] = carried.get(minute, NOTHING).plus(TrafficCounts(*amounts))
    shown = last_hour(now)
    return HourChart(
        moment_of(shown[0]),
        tuple(carried.get(at, NOTHING if at in measured else None) for at in shown),
    )


def _most(amounts: TrafficCounts | None) -> int:
    return max(amounts.bytes_in, amounts.bytes_out) if amounts else 0


def _runs(wanted: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where those that are wanted begin and end, one after the last."""
    begins: int | None = None
    for at, one in enumerate((*wanted, False)):
        if one and begins is None:
            begins = at
        elif not one and begins is not None:
            yield begins, at
            begins = None
