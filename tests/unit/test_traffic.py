"""Traffic accounting is exact over rekeys, restarts and late samples."""

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
    MAX_SAMPLE_GAP,
    NOTHING,
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


def child_sa(
    id: str = "1-aa", counts: TrafficCounts = NOTHING, at: datetime = NOON
) -> ChildSaSample:
    return ChildSaSample(id, NAME, "INSTALLED", UNNAMED, *SELECTORS, counts, at)


def ike_sa(*child_sas: ChildSaSample) -> IkeSaSample:
    return IkeSaSample(CONNECTION.name, "1", child_sas=child_sas)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def total(deltas: list[TrafficDelta]) -> TrafficCounts:
    """Return the sum of all deltas of the pair."""
    counts = NOTHING
    for delta in deltas:
        if PAIR in delta.pairs:
            counts = counts.plus(delta.pairs[PAIR].counts)
    return counts


@given(FEW, st.floats(0, 86_400), st.floats(0, MAX_SAMPLE_GAP.total_seconds()))
def test_traffic_between_two_samples_is_distributed_over_its_minutes(counts, begins, takes):
    interval = TrafficInterval(counts, after(begins), after(begins + takes))

    shares = by_minute(interval)

    summed = NOTHING
    for share in shares.values():
        assert min(share) >= 0
        summed = summed.plus(share)
    assert summed == counts
    first, last = minute_of(interval.since), minute_of(interval.until)
    assert all(first <= minute <= last for minute in shares)


def test_traffic_across_a_long_gap_is_in_the_sum_and_in_no_minute():
    accountant = TrafficAccountant({}, None)
    running = [ike_sa(child_sa(counts=TrafficCounts(9, 8, 7, 6)))]

    deltas = accountant.sample(LOADED, running, after(7_200))

    assert total(list(deltas.values())) == (9, 8, 7, 6)
    assert deltas[42].pairs[PAIR].minutes == {}


class Gateway:
    """A charon with one pair, and a monitor that accounts its traffic; every step takes 7 s."""

    def __init__(self) -> None:
        self.now = NOON
        self.children: dict[str, ChildSaSample] = {}
        self.replaced: list[ChildSaSample] = []
        self.deltas: list[TrafficDelta] = []
        self.saved: tuple[IkeSaSample, ...] = ()
        self.sent = NOTHING
        self.accountant = TrafficAccountant({}, None)
        self.spi = 0
        self.install()

    def install(self) -> None:
        self.spi += 1
        self.newest = f"{len(self.children) + 1}-{self.spi:08x}"
        self.children[self.newest] = child_sa(self.newest, at=self.now)

    def send(self, counts: TrafficCounts) -> None:
        child = self.children[self.newest]
        self.children[self.newest] = replace(child, counts=child.counts.plus(counts))
        self.sent = self.sent.plus(counts)

    def sample(self) -> None:
        running = [ike_sa(*self.children.values())]
        self.save(self.accountant.sample(LOADED, running, self.now))

    def rekey(self) -> None:
        """End the old CHILD_SA at once; the event with its final counters is read later."""
        self.replaced.append(self.children.pop(self.newest))
        self.install()

    def read_events(self) -> None:
        replaced, self.replaced = self.replaced, []
        self.save(self.accountant.count_final([ike_sa(*replaced)], self.now))

    def restart_monitor(self) -> None:
        """Write all deltas; the next monitor starts from the saved samples only."""
        self.read_events()
        self.sample()
        saved = from_json(as_json(self.saved))
        self.accountant = TrafficAccountant({42: saved}, self.now)

    def restart_charon(self) -> None:
        """Restart charon, which numbers its CHILD_SAs from 1 and counts from 0 again."""
        self.read_events()
        self.sample()
        self.children = {}
        self.install()

    def save(self, deltas: dict[int, TrafficDelta]) -> None:
        self.deltas += deltas.values()
        for delta in deltas.values():
            self.saved = self.saved if delta.ike_sas is None else delta.ike_sas


STEPS = ("sample", "rekey", "read_events", "restart_monitor", "restart_charon")


@given(st.lists(st.sampled_from(STEPS) | FEW, max_size=30))
@example_of([TrafficCounts(9, 9, 9, 9), "sample", "rekey", "sample", "read_events"])
def test_no_rekey_and_no_restart_loses_or_doubles_traffic(steps):
    gateway = Gateway()

    for step in steps:
        gateway.now += timedelta(seconds=7)
        if isinstance(step, str):
            getattr(gateway, step)()
        else:
            gateway.send(step)
        assert all(
            min(traffic.counts) >= 0 for delta in gateway.deltas for traffic in delta.pairs.values()
        )
    gateway.read_events()
    gateway.sample()

    assert total(gateway.deltas) == gateway.sent
    in_minutes = [
        counts
        for delta in gateway.deltas
        for traffic in delta.pairs.values()
        for counts in traffic.minutes.values()
    ]
    for number, counts in enumerate(zip(NOTHING, *in_minutes, strict=True)):
        assert sum(counts) <= gateway.sent[number]


@given(st.lists(FEW, min_size=1, max_size=6))
def test_merged_deltas_have_the_traffic_of_all_of_them(sent):
    gateway = Gateway()
    for counts in sent:
        gateway.now += timedelta(seconds=45)
        gateway.send(counts)
        gateway.sample()

    merged = gateway.deltas[0]
    for delta in gateway.deltas[1:]:
        merged = merged.merge(delta)

    assert total([merged]) == gateway.sent
    assert merged.ike_sas == gateway.deltas[-1].ike_sas
    shares = [share for traffic in merged.pairs.values() for share in traffic.minutes.values()]
    assert sum(share.bytes_in for share in shares) == gateway.sent.bytes_in


def test_a_counter_that_was_reset_is_not_subtracted_from():
    assert TrafficCounts(7, 900, 1, 9).since(TrafficCounts(100, 90, 1, 1)) == (7, 900, 1, 9)
    assert TrafficCounts(700, 900, 1, 9).since(TrafficCounts(100, 90, 1, 1)) == (600, 810, 0, 8)


def test_an_idle_tunnel_has_a_delta_when_it_comes_up_and_when_it_goes_down():
    accountant = TrafficAccountant({}, None)
    idle = [ike_sa(child_sa(counts=TrafficCounts(1, 1, 1, 1)))]

    up = accountant.sample(LOADED, idle, after(5))
    still_up = accountant.sample(LOADED, idle, after(15))
    down = accountant.sample(LOADED, [], after(25))
    still_down = accountant.sample(LOADED, [], after(35))

    assert (list(up), still_up, still_down) == ([42], {}, {})
    assert (down[42].ike_sas, down[42].has_sa_change, down[42].pairs) == ((), True, {})


def test_child_sas_of_unloaded_settings_are_older():
    accountant = TrafficAccountant({}, None)
    old, new = replace(child_sa("1-aa"), name="ctx42-00000000-00000000"), child_sa("2-bb")

    deltas = accountant.sample(LOADED, [ike_sa(old, new)], after(5))

    (running,) = deltas[42].ike_sas
    assert [child.older for child in running.child_sas] == [True, False]


def test_minutes_without_a_sample_are_not_observed():
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


def test_sizes_and_rates_as_text():
    assert [size(n) for n in (0, 1, 999, 1_000, 9_949, 9_960, 999_600, 1_234_567_890)] == [
        *("0 bytes", "1 byte", "999 bytes", "1 kB", "9.9 kB", "10 kB", "1 MB", "1.2 GB")
    ]
    assert size(5_000_000 * 10**12) == "5,000 PB"
    assert [rate(n, 60) for n in (0, 60, 30_000_000)] == ["0 bit/s", "8 bit/s", "4 Mbit/s"]
    assert [packets(n) for n in (1, 12_345)] == ["1 packet", "12,345 packets"]
