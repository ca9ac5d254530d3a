"""What was carried is neither lost nor invented: over rekeys, restarts and looks that come late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import example as example_of
from hypothesis import given
from hypothesis import strategies as st

from tests.desired_state import compile_specs
from tests.unit.samples import KEY, example
from vpnportal.domain.traffic.accounting import TrafficAccountant, TrafficDelta
from vpnportal.domain.traffic.counters import (
    NOTHING,
    UNSEEN,
    ChildSaSample,
    IkeSaSample,
    TrafficCounts,
    TrafficInterval,
    by_minute,
    merge_observed_minutes,
    minute_of,
)
from vpnportal.domain.traffic.sa_snapshot import as_json, from_json
from vpnportal.domain.traffic.units import packets, rate, size
from vpnportal.domain.tunnel.algorithms import UNNAMED

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
(CONNECTION,) = compile_specs([example()], KEY).connections.values()
LOADED = {CONNECTION.name: CONNECTION.as_loaded}
(NAME,) = CONNECTION.children
SELECTORS = (("10.2.0.0/24",), ("192.168.10.0/24",))
PAIR = "10.2.0.0/24 192.168.10.0/24"
FEW = st.builds(TrafficCounts, *[st.integers(0, 5_000)] * 4)


def carrier(
    id: str = "1-aa", amounts: TrafficCounts = NOTHING, at: datetime = NOON
) -> ChildSaSample:
    return ChildSaSample(id, NAME, "INSTALLED", UNNAMED, *SELECTORS, amounts, at)


def line(*carriers: ChildSaSample) -> IkeSaSample:
    return IkeSaSample(CONNECTION.name, "1", child_sas=carriers)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def total(told: list[TrafficDelta]) -> TrafficCounts:
    """All that was told of the pair."""
    amounts = NOTHING
    for one in told:
        if PAIR in one.pairs:
            amounts = amounts.plus(one.pairs[PAIR].counts)
    return amounts


@given(FEW, st.floats(0, 86_400), st.floats(0, UNSEEN.total_seconds()))
def test_what_was_carried_between_two_looks_is_shared_out_among_its_minutes(amounts, begins, takes):
    one = TrafficInterval(amounts, after(begins), after(begins + takes))

    shares = by_minute(one)

    summed = NOTHING
    for share in shares.values():
        assert min(share) >= 0
        summed = summed.plus(share)
    assert summed == amounts
    assert all(minute_of(one.since) <= at <= minute_of(one.until) for at in shares)


def test_what_was_carried_while_nobody_looked_is_in_the_sum_and_in_no_minute():
    meter = TrafficAccountant({}, None)

    told = meter.sample(LOADED, [line(carrier(amounts=TrafficCounts(9, 8, 7, 6)))], after(7_200))

    assert total(list(told.values())) == (9, 8, 7, 6)
    assert told[42].pairs[PAIR].minutes == {}


class Gateway:
    """A charon with one pair, and a watch that tells what is new of it; every step takes 7 s."""

    def __init__(self) -> None:
        self.now = NOON
        self.children: dict[str, ChildSaSample] = {}
        self.late: list[ChildSaSample] = []
        self.told: list[TrafficDelta] = []
        self.kept: tuple[IkeSaSample, ...] = ()
        self.carried = NOTHING
        self.meter = TrafficAccountant({}, None)
        self.spi = 0
        self.install()

    def install(self) -> None:
        self.spi += 1
        self.newest = f"{len(self.children) + 1}-{self.spi:08x}"
        self.children[self.newest] = carrier(self.newest, at=self.now)

    def carry(self, amounts: TrafficCounts) -> None:
        one = self.children[self.newest]
        self.children[self.newest] = replace(one, counts=one.counts.plus(amounts))
        self.carried = self.carried.plus(amounts)

    def look(self) -> None:
        self.tell(self.meter.sample(LOADED, [line(*self.children.values())], self.now))

    def rekey(self) -> None:
        """The old child ends at once; the event that says what it counted is read later."""
        self.late.append(self.children.pop(self.newest))
        self.install()

    def hear(self) -> None:
        ended, self.late = self.late, []
        self.tell(self.meter.ended([line(*ended)], self.now))

    def restart_the_watch(self) -> None:
        """What was told is written, and all that the next watch knows."""
        self.hear()
        self.look()
        known = from_json(as_json(self.kept))
        self.meter = TrafficAccountant({42: known}, self.now)

    def restart_charon(self) -> None:
        """It counts its children from 1 again, and their packets from 0."""
        self.hear()
        self.look()
        self.children = {}
        self.install()

    def tell(self, new: dict[int, TrafficDelta]) -> None:
        self.told += new.values()
        for one in new.values():
            self.kept = self.kept if one.ike_sas is None else one.ike_sas


STEPS = ("look", "rekey", "hear", "restart_the_watch", "restart_charon")


@given(st.lists(st.sampled_from(STEPS) | FEW, max_size=30))
@example_of([TrafficCounts(9, 9, 9, 9), "look", "rekey", "look", "hear"])
def test_no_rekey_and_no_restart_loses_or_doubles_what_was_carried(steps):
    gateway = Gateway()

    for step in steps:
        gateway.now += timedelta(seconds=7)
        if isinstance(step, str):
            getattr(gateway, step)()
        else:
            gateway.carry(step)
        assert all(min(tally.counts) >= 0 for one in gateway.told for tally in one.pairs.values())
    gateway.hear()
    gateway.look()

    assert total(gateway.told) == gateway.carried
    in_minutes = [
        amounts
        for one in gateway.told
        for tally in one.pairs.values()
        for amounts in tally.minutes.values()
    ]
    for number, amounts in enumerate(zip(NOTHING, *in_minutes, strict=True)):
        assert sum(amounts) <= gateway.carried[number]


@given(st.lists(FEW, min_size=1, max_size=6))
def test_what_waits_to_be_written_is_as_much_as_when_it_were_written_at_once(several):
    gateway = Gateway()
    for amounts in several:
        gateway.now += timedelta(seconds=45)
        gateway.carry(amounts)
        gateway.look()

    together = gateway.told[0]
    for one in gateway.told[1:]:
        together = together.and_then(one)

    assert total([together]) == gateway.carried
    assert together.ike_sas == gateway.told[-1].ike_sas
    shares = [share for tally in together.pairs.values() for share in tally.minutes.values()]
    assert sum(share.bytes_in for share in shares) == gateway.carried.bytes_in


def test_a_counter_that_began_anew_is_never_subtracted_from():
    assert TrafficCounts(7, 900, 1, 9).since(TrafficCounts(100, 90, 1, 1)) == (7, 900, 1, 9)
    assert TrafficCounts(700, 900, 1, 9).since(TrafficCounts(100, 90, 1, 1)) == (600, 810, 0, 8)


def test_a_tunnel_that_carries_nothing_is_told_once_and_again_when_it_goes_down():
    meter = TrafficAccountant({}, None)
    quiet = [line(carrier(amounts=TrafficCounts(1, 1, 1, 1)))]

    first, second = meter.sample(LOADED, quiet, after(5)), meter.sample(LOADED, quiet, after(15))
    gone, still = meter.sample(LOADED, [], after(25)), meter.sample(LOADED, [], after(35))

    assert (list(first), second, still) == ([42], {}, {})
    assert (gone[42].ike_sas, gone[42].turned, gone[42].pairs) == ((), True, {})


def test_children_of_settings_that_are_not_loaded_are_older():
    meter = TrafficAccountant({}, None)
    old, new = replace(carrier("1-aa"), name="ctx42-00000000-00000000"), carrier("2-bb")

    told = meter.sample(LOADED, [line(old, new)], after(5))

    (running,) = told[42].ike_sas
    assert [one.older for one in running.child_sas] == [True, False]


def test_minutes_in_which_nobody_looked_are_left_out_of_what_was_watched():
    noon = minute_of(NOON)
    spans = merge_observed_minutes([], None, NOON)
    for seconds in (10, 70, 130):
        spans = merge_observed_minutes(spans, after(seconds - 60), after(seconds))

    assert spans == [[noon, noon + 2]]
    assert merge_observed_minutes(spans, after(130), after(600)) == [
        [noon, noon + 2],
        [noon + 10, noon + 10],
    ]
    assert merge_observed_minutes(spans, after(130), after(130) + timedelta(hours=2)) == [
        [noon + 122] * 2
    ]
    assert merge_observed_minutes(spans, after(130), after(-3_600)) == [[noon - 60] * 2]


def test_sizes_and_rates_are_told_as_people_say_them():
    assert [size(n) for n in (0, 1, 999, 1_000, 9_949, 9_960, 999_600, 1_234_567_890)] == [
        *("0 bytes", "1 byte", "999 bytes", "1 kB", "9.9 kB", "10 kB", "1 MB", "1.2 GB")
    ]
    assert size(5_000_000 * 10**12) == "5,000 PB"
    assert [rate(n, 60) for n in (0, 60, 30_000_000)] == ["0 bit/s", "8 bit/s", "4 Mbit/s"]
    assert [packets(n) for n in (1, 12_345)] == ["1 packet", "12,345 packets"]
