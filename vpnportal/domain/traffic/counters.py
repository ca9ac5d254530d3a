"""What tunnels carry: charon's counters as values, and how much was carried between two looks.

A CHILD_SA counts from 0 when it is installed, and its successor does so again: what a tunnel
carried is the sum over its children, each told from all others by its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite

# What was carried in a longer time is in no minute of a chart: nobody looked, so nobody knows when.
UNSEEN = timedelta(minutes=3)
HOUR_MINUTES = 60


class TrafficCounts(NamedTuple):
    """Bytes and packets that came in through a tunnel, and that went out."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def plus(self, more: TrafficCounts) -> TrafficCounts:
        """Both together."""
        return TrafficCounts(*(one + other for one, other in zip(self, more, strict=True)))

    def since(self, earlier: TrafficCounts) -> TrafficCounts:
        """What was counted after `earlier`; all of it if the counter began anew meanwhile."""
        if any(now < before for now, before in zip(self, earlier, strict=True)):
            return self
        return TrafficCounts(*(now - before for now, before in zip(self, earlier, strict=True)))


NOTHING = TrafficCounts()


@dataclass(frozen=True, slots=True)
class ChildSaSample:
    """A CHILD_SA that carries packets, and what it counted since it was installed.

    `id` is unique among all children there ever were. At `rekey_at` charon asks for new keys, at
    `ends_at` these end; None where it tells no time. `older` children have settings that are not
    loaded any more.
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
        """Its selectors in one text: what they carried goes on when a successor takes over."""
        return pair_of(self.local_ts, self.remote_ts)


@dataclass(frozen=True, slots=True)
class IkeSaSample:
    """An established IKE_SA with the children that carry its packets."""

    connection: str
    id: str
    version: int = 0
    suite: Suite = UNNAMED
    established_at: datetime | None = None
    rekey_at: datetime | None = None
    child_sas: tuple[ChildSaSample, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectorTraffic:
    """What some selectors carried: all of it, since when, and what of it in which minute."""

    counts: TrafficCounts
    since: datetime
    minutes: dict[int, TrafficCounts]

    def plus(self, more: SelectorTraffic) -> SelectorTraffic:
        """Both together."""
        minutes = {**self.minutes}
        for minute, amounts in more.minutes.items():
            minutes[minute] = minutes.get(minute, NOTHING).plus(amounts)
        return SelectorTraffic(self.counts.plus(more.counts), min(self.since, more.since), minutes)


class TrafficInterval(NamedTuple):
    """So much was carried between two moments."""

    counts: TrafficCounts
    since: datetime
    until: datetime


def pair_of(local_ts: Iterable[str], remote_ts: Iterable[str]) -> str:
    """Selectors of both ends in one text, whatever order charon lists them in."""
    return " ".join((",".join(sorted(local_ts)), ",".join(sorted(remote_ts))))


def minute_of(at: datetime) -> int:
    """The minute that a moment lies in, counted since 1970."""
    return int(at.timestamp()) // 60


def moment_of(minute: int) -> datetime:
    """When such a minute begins."""
    return datetime.fromtimestamp(minute * 60, UTC)


def last_hour(now: datetime) -> range:
    """The minute that runs, and the 59 before it."""
    return range(minute_of(now) + 1 - HOUR_MINUTES, minute_of(now) + 1)


def by_minute(one: TrafficInterval) -> dict[int, TrafficCounts]:
    """The amounts shared out among the minutes they were carried in, none lost and none invented.

    Nothing if nobody looked for so long that it is not known when.
    """
    length = (one.until - one.since).total_seconds()
    if length > UNSEEN.total_seconds():
        return {}
    if length <= 0:
        # A clock that was set back, or a child that is new.
        return {minute_of(one.until): one.counts}
    shares, done = {}, NOTHING
    for minute in range(minute_of(one.since), minute_of(one.until) + 1):
        passed = min((minute + 1) * 60 - one.since.timestamp(), length)
        by_then = _part(one.counts, passed / length)
        shares[minute], done = by_then.since(done), by_then
    return {minute: share for minute, share in shares.items() if share != NOTHING}


def merge_observed_minutes(
    spans: Iterable[Iterable[int]], since: datetime | None, at: datetime
) -> list[list[int]]:
    """The minutes of the last hour that somebody looked at, as first and last ones of spans.

    There was a look at `at` now, and one `since`; what lies between is known unless it is long.
    """
    now, hour = minute_of(at), last_hour(at)
    close = since is not None and timedelta(0) <= at - since <= UNSEEN
    first = minute_of(since) if since is not None and close else now
    kept = [[begin, end] for begin, end in spans if end >= hour[0] and begin <= now]
    if kept and first <= kept[-1][1] + 1:
        kept[-1][1] = now
    else:
        kept.append([first, now])
    return kept


def _part(whole: TrafficCounts, share: float) -> TrafficCounts:
    return whole if share >= 1 else TrafficCounts(*(int(number * share) for number in whole))
