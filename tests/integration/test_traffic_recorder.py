"""Traffic counters: written when they changed, and for many tunnels at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.conftest import make_tunnel
from tests.integration.traffic_rows import child_sa_samples, connection, ike_sa_sample
from vpnportal import services
from vpnportal.domain.traffic.counters import TrafficCounts, minute_of
from vpnportal.models import Concentrator, Revision, Traffic, Tunnel
from vpnportal.monitor import traffic_recorder
from vpnportal.monitor.traffic_recorder import TrafficRecorder

PAIR = "10.2.0.0/24 192.168.10.0/24"


@pytest.fixture
def live(ready, user) -> Tunnel:
    services.apply(ready, user)
    Revision.objects.update(outcome="live")
    return ready


@pytest.fixture
def recorder(live, concentrator) -> TrafficRecorder:
    return TrafficRecorder(concentrator)


def record(
    recorder: TrafficRecorder,
    tunnel: Tunnel,
    counts: TrafficCounts,
    at: datetime,
    **changes: object,
) -> None:
    """Record a sample of this tunnel, and write it."""
    loaded = connection(tunnel)
    recorder.sample_all(
        {loaded.name: loaded.as_loaded},
        [ike_sa_sample(tunnel, child_sa_samples(tunnel, counts, at, **changes), at)],
        at,
    )
    recorder.close()


def recorded_traffic(tunnel: Tunnel) -> TrafficCounts:
    return TrafficCounts(*Traffic.objects.get(tunnel=tunnel).pairs[PAIR][1:])


def test_a_tunnel_without_new_traffic_costs_no_query(live, recorder):
    now = timezone.now()
    loaded = connection(live)
    samples = [ike_sa_sample(live, child_sa_samples(live, TrafficCounts(9, 9, 1, 1), now), now)]
    recorder.sample_all({loaded.name: loaded.as_loaded}, samples, now)
    recorder.close()

    with CaptureQueriesContext(database) as captured:
        recorder.sample_all({loaded.name: loaded.as_loaded}, samples, now)
        recorder.close()

    assert len(captured) == 0
    assert recorded_traffic(live) == (9, 9, 1, 1)


def test_new_keys_count_from_zero_and_add_to_the_sum(live, recorder):
    now = timezone.now()
    record(recorder, live, TrafficCounts(900, 90, 9, 1), now - timedelta(seconds=20))

    recorder.add_final(
        [ike_sa_sample(live, child_sa_samples(live, TrafficCounts(950, 95, 10, 2), now), now)]
    )
    record(recorder, live, TrafficCounts(7, 7, 1, 1), now, id="2-00000002")

    assert recorded_traffic(live) == (957, 102, 11, 3)
    (minutes,) = Traffic.objects.get().minutes.values()
    assert sum(minute[1] for minute in minutes) == 957
    (child,) = Traffic.objects.get().lines[0]["carriers"]
    assert (child["id"], child["amounts"]) == ("2-00000002", [7, 7, 1, 1])


def test_a_restarted_monitor_continues_from_the_stored_counters(live, recorder, concentrator):
    now = timezone.now()
    record(recorder, live, TrafficCounts(900, 90, 9, 1), now - timedelta(seconds=50))

    record(TrafficRecorder(concentrator), live, TrafficCounts(1_000, 100, 10, 2), now)

    assert recorded_traffic(live) == (1_000, 100, 10, 2)
    assert sum(minute[1] for minute in Traffic.objects.get().minutes[PAIR]) == 1_000


def test_minutes_older_than_an_hour_are_deleted_and_the_sum_is_not(live, recorder):
    now = timezone.now()
    record(recorder, live, TrafficCounts(900, 90, 9, 1), now)
    Traffic.objects.update(
        minutes={PAIR: [[minute_of(now) - 60, 1, 1, 1, 1], [minute_of(now), 5, 5, 5, 5]]}
    )

    record(recorder, live, TrafficCounts(910, 90, 9, 1), now)

    assert Traffic.objects.get().minutes == {PAIR: [[minute_of(now), 15, 5, 5, 5]]}
    assert recorded_traffic(live) == (910, 90, 9, 1)


def test_removed_pairs_are_deleted_and_their_last_hour_stays(live, recorder):
    now = timezone.now()
    minute = minute_of(now)
    record(recorder, live, TrafficCounts(900, 90, 9, 1), now)
    Traffic.objects.update(
        pairs={PAIR: Traffic.objects.get().pairs[PAIR], "removed": [now.isoformat(), 1, 1, 1, 1]},
        minutes={"removed before": [[minute, 1, 1, 1, 1]], "removed": [[minute, 1, 1, 1, 1]]},
    )

    record(recorder, live, TrafficCounts(910, 90, 9, 1), now)

    row = Traffic.objects.get()
    assert list(row.pairs) == [PAIR]
    assert row.minutes == {PAIR: [[minute, 10, 0, 0, 0]], Traffic.GONE: [[minute, 2, 2, 2, 2]]}


def test_a_concentrator_records_no_traffic_of_a_moved_tunnel(live, recorder, concentrator):
    elsewhere = Concentrator.objects.create(
        name="elsewhere", datacenter=concentrator.datacenter, public_address="203.0.113.9"
    )
    Tunnel.objects.update(concentrator=elsewhere)

    record(recorder, live, TrafficCounts(9, 9, 1, 1), timezone.now())

    assert not Traffic.objects.exists()


def test_a_sample_records_the_observed_minutes_once_a_minute(live, recorder, concentrator):
    start = datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)
    for seconds in (0, 10, 20, 60, 70):
        recorder.sample_all({}, [], start + timedelta(seconds=seconds))

    noon = minute_of(start)
    concentrator.refresh_from_db()
    assert concentrator.observed_minutes == [[noon, noon + 1]]
    with CaptureQueriesContext(database) as captured:
        recorder.sample_all({}, [], start + timedelta(seconds=80))
    assert len(captured) == 0


def test_many_tunnels_are_written_in_few_queries_and_tunnels_that_went_down_first(
    account, concentrator, user, live, recorder, monkeypatch
):
    now = timezone.now()
    tunnels = [
        make_tunnel(account, concentrator, f"ipsec{number}", hosted=f"10.{number}.0.0/24")
        for number in range(20, 50)
    ]
    for tunnel in tunnels:
        services.edit(tunnel, "remote_peer", "198.51.100.7", user)
        services.set_preshared_key(tunnel, "a key", user)
        tunnel.subnets.add(live.subnets.get(kind="customer"))
        Revision.next_for(tunnel, Tunnel.objects.get(pk=tunnel.pk).draft(), user).save()
    connections = map(connection, tunnels)
    loaded = {connection.name: connection.as_loaded for connection in connections}

    def samples(counts: TrafficCounts, *excluded: Tunnel):
        return [
            ike_sa_sample(tunnel, child_sa_samples(tunnel, counts, now, id=f"{tunnel.pk}-aa"), now)
            for tunnel in tunnels
            if tunnel not in excluded
        ]

    monkeypatch.setattr(traffic_recorder, "WRITE_SECONDS", 0)
    recorder.sample_all(loaded, samples(TrafficCounts(1, 1, 1, 1)), now)
    with CaptureQueriesContext(database) as captured:
        recorder.close()
    assert (Traffic.objects.count(), len(captured) <= 8) == (30, True)

    monkeypatch.setattr(traffic_recorder, "MAX_PAIRS", 1)
    recorder.sample_all(loaded, samples(TrafficCounts(2, 2, 2, 2), tunnels[-1]), now)
    recorder.write_if_due()

    assert Traffic.objects.get(tunnel=tunnels[-1]).lines == []
    assert not Traffic.objects.filter(pairs__icontains=", 2, 2").exists()
