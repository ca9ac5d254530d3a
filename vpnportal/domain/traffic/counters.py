"""Traffic counters: samples of charon's SAs, and the traffic between two samples.

A CHILD_SA counts from 0 when it is installed, and so does its successor after a rekey. The traffic
of a tunnel is the sum over its CHILD_SAs, each with a unique id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite

# Traffic counted across a longer gap is not charted: there was no sample in between.
MAX_SAMPLE_GAP = timedelta(minutes=3)
HOUR_MINUTES = 60


class TrafficCounts(NamedTuple):
    """Bytes and packets, in from the peer and out to the peer."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def plus(self, other: TrafficCounts) -> TrafficCounts:
        return TrafficCounts(*(mine + its for mine, its in zip(self, other, strict=True)))

    def since(self, earlier: TrafficCounts) -> TrafficCounts:
        """Return the counts after `earlier`; all counts if a counter was reset meanwhile."""
        if any(now < before for now, before in zip(self, earlier, strict=True)):
            return self
        return TrafficCounts(*(now - before for now, before in zip(self, earlier, strict=True)))


NOTHING = TrafficCounts()


@dataclass(frozen=True, slots=True)
class ChildSaSample:
    """A CHILD_SA that carries packets, with its counts since it was installed.

    `id` is unique over the lifetimes of charon. charon rekeys the CHILD_SA at `rekey_at` and
    deletes it at `ends_at`; None is unlimited. `older` is set if its settings are not loaded any
    more.
    """

    id: str
    name: str
    state: str
    suite: Suite
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    counts: TrafficCounts
    installed_at: datetime
    rekey_at: datetime | None = None
    ends_at: datetime | None = None
    older: bool = False

    @property
    def pair(self) -> str:
        """The traffic selectors as text; traffic of CHILD_SAs with the same text is summed."""
        return pair_of(self.local_ts, self.remote_ts)


@dataclass(frozen=True, slots=True)
class IkeSaSample:
    """An established IKE_SA with the CHILD_SAs that carry its packets."""

    connection: str
    id: str
    version: int = 0
    suite: Suite = UNNAMED
    established_at: datetime | None = None
    rekey_at: datetime | None = None
    child_sas: tuple[ChildSaSample, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectorTraffic:
    """The traffic of a pair of selectors: total, start of counting, and share of each minute."""

    counts: TrafficCounts
    since: datetime
    minutes: dict[int, TrafficCounts]

    def plus(self, other: SelectorTraffic) -> SelectorTraffic:
        minutes = {**self.minutes}
        for minute, counts in other.minutes.items():
            minutes[minute] = minutes.get(minute, NOTHING).plus(counts)
        since = min(self.since, other.since)
        return SelectorTraffic(self.counts.plus(other.counts), since, minutes)


class TrafficInterval(NamedTuple):
    """The traffic between two moments."""

    counts: TrafficCounts
    since: datetime
    until: datetime


def pair_of(local_ts: Iterable[str], remote_ts: Iterable[str]) -> str:
    """Return selectors as text, such as "10.2.0.0/24 192.168.10.0/24", in a stable order."""
    return " ".join((",".join(sorted(local_ts)), ",".join(sorted(remote_ts))))


def minute_of(at: datetime) -> int:
    """Return the number of the minute since 1970."""
    return int(at.timestamp()) // 60


def moment_of(minute: int) -> datetime:
    """Return the start of a minute that is numbered since 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)


def last_hour(now: datetime) -> range:
    """Return the numbers of the current minute and of the 59 minutes before."""
    return range(minute_of(now) + 1 - HOUR_MINUTES, minute_of(now) + 1)


def by_minute(interval: TrafficInterval) -> dict[int, TrafficCounts]:
    """Distribute traffic evenly over the minutes of its interval; the sum stays exact.

    The result is empty if the interval is longer than `MAX_SAMPLE_GAP`.
    """
    length = (interval.until - interval.since).total_seconds()
    if length > MAX_SAMPLE_GAP.total_seconds():
        return {}
    if length <= 0:
        # The clock was set back, or the CHILD_SA is new.
        return {minute_of(interval.until): interval.counts}
    shares, total = {}, NOTHING
    for minute in range(minute_of(interval.since), minute_of(interval.until) + 1):
        passed = min((minute + 1) * 60 - interval.since.timestamp(), length)
        new_total = _fraction(interval.counts, passed / length)
        shares[minute], total = new_total.since(total), new_total
    return {minute: share for minute, share in shares.items() if share != NOTHING}


def merge_observed_minutes(
    spans: Iterable[Iterable[int]], since: datetime | None, at: datetime
) -> list[list[int]]:
    """Return the sampled minutes of the last hour as [first, last] spans, `at` included.

    The minutes after the previous sample (`since`) are included if the gap is within
    `MAX_SAMPLE_GAP`.
    """
    now, hour = minute_of(at), last_hour(at)
    is_continuous = since is not None and timedelta(0) <= at - since <= MAX_SAMPLE_GAP
    first = minute_of(since) if since is not None and is_continuous else now
    merged = [[begin, end] for begin, end in spans if end >= hour[0] and begin <= now]
    if merged and first <= merged[-1][1] + 1:
        merged[-1][1] = now
    else:
        merged.append([first, now])
    return merged


def _fraction(counts: TrafficCounts, share: float) -> TrafficCounts:
    return counts if share >= 1 else TrafficCounts(*(int(count * share) for count in counts))
