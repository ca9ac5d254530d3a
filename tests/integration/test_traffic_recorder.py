"""Counters reach the database when something is new, and then for many tunnels at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.conftest import make_tunnel
from tests.integration.traffic_rows import carriers, connection, line
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
def watch(live, concentrator) -> TrafficRecorder:
    return TrafficRecorder(concentrator)


def look(
    watch: TrafficRecorder, tunnel: Tunnel, amounts: TrafficCounts, at: datetime, **changes: object
) -> None:
    """charon lists this tunnel, and whatever is due is written."""
    held = connection(tunnel)
    watch.sample_all(
        {held.name: held.as_loaded},
        [line(tunnel, carriers(tunnel, amounts, at, **changes), at)],
        at,
    )
    watch.close()


def carried(tunnel: Tunnel) -> TrafficCounts:
    return TrafficCounts(*Traffic.objects.get(tunnel=tunnel).pairs[PAIR][1:])


def test_a_tunnel_that_carried_nothing_since_costs_no_query(live, watch):
    now = timezone.now()
    held = connection(live)
    seen = [line(live, carriers(live, TrafficCounts(9, 9, 1, 1), now), now)]
    watch.sample_all({held.name: held.as_loaded}, seen, now)
    watch.close()

    with CaptureQueriesContext(database) as captured:
        watch.sample_all({held.name: held.as_loaded}, seen, now)
        watch.close()

    assert len(captured) == 0
    assert carried(live) == (9, 9, 1, 1)


def test_new_keys_count_from_nothing_and_the_sum_goes_on(live, watch):
    now = timezone.now()
    look(watch, live, TrafficCounts(900, 90, 9, 1), now - timedelta(seconds=20))

    watch.add_final([line(live, carriers(live, TrafficCounts(950, 95, 10, 2), now), now)])
    look(watch, live, TrafficCounts(7, 7, 1, 1), now, id="2-00000002")

    assert carried(live) == (957, 102, 11, 3)
    (minutes,) = Traffic.objects.get().minutes.values()
    assert sum(minute[1] for minute in minutes) == 957
    (child,) = Traffic.objects.get().lines[0]["carriers"]
    assert (child["id"], child["amounts"]) == ("2-00000002", [7, 7, 1, 1])


def test_a_watch_that_starts_again_goes_on_where_it_was(live, watch, concentrator):
    now = timezone.now()
    look(watch, live, TrafficCounts(900, 90, 9, 1), now - timedelta(seconds=50))

    look(TrafficRecorder(concentrator), live, TrafficCounts(1_000, 100, 10, 2), now)

    assert carried(live) == (1_000, 100, 10, 2)
    assert sum(minute[1] for minute in Traffic.objects.get().minutes[PAIR]) == 1_000


def test_an_hour_that_is_over_is_let_go_and_what_it_carried_stays_in_the_sum(live, watch):
    now = timezone.now()
    look(watch, live, TrafficCounts(900, 90, 9, 1), now)
    Traffic.objects.update(
        minutes={PAIR: [[minute_of(now) - 60, 1, 1, 1, 1], [minute_of(now), 5, 5, 5, 5]]}
    )

    look(watch, live, TrafficCounts(910, 90, 9, 1), now)

    assert Traffic.objects.get().minutes == {PAIR: [[minute_of(now), 15, 5, 5, 5]]}
    assert carried(live) == (910, 90, 9, 1)


def test_pairs_that_the_tunnel_does_not_have_any_more_are_let_go_and_their_hour_stays(live, watch):
    now = timezone.now()
    minute = minute_of(now)
    look(watch, live, TrafficCounts(900, 90, 9, 1), now)
    Traffic.objects.update(
        pairs={PAIR: Traffic.objects.get().pairs[PAIR], "other": [now.isoformat(), 1, 1, 1, 1]},
        minutes={"one": [[minute, 1, 1, 1, 1]], "other": [[minute, 1, 1, 1, 1]]},
    )

    look(watch, live, TrafficCounts(910, 90, 9, 1), now)

    row = Traffic.objects.get()
    assert list(row.pairs) == [PAIR]
    assert row.minutes == {PAIR: [[minute, 10, 0, 0, 0]], Traffic.GONE: [[minute, 2, 2, 2, 2]]}


def test_a_concentrator_that_the_tunnel_has_left_says_nothing_of_it(live, watch, concentrator):
    elsewhere = Concentrator.objects.create(
        name="elsewhere", datacenter=concentrator.datacenter, public_address="203.0.113.9"
    )
    Tunnel.objects.update(concentrator=elsewhere)

    look(watch, live, TrafficCounts(9, 9, 1, 1), timezone.now())

    assert not Traffic.objects.exists()


def test_a_look_writes_which_minutes_are_known_once_a_minute(live, watch, concentrator):
    began = datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)
    for seconds in (0, 10, 20, 60, 70):
        watch.sample_all({}, [], began + timedelta(seconds=seconds))

    noon = minute_of(began)
    concentrator.refresh_from_db()
    assert concentrator.observed_minutes == [[noon, noon + 1]]
    with CaptureQueriesContext(database) as captured:
        watch.sample_all({}, [], began + timedelta(seconds=80))
    assert len(captured) == 0


def test_many_tunnels_are_written_in_few_queries_and_what_went_down_comes_first(
    account, concentrator, user, live, watch, monkeypatch
):
    now = timezone.now()
    several = [
        make_tunnel(account, concentrator, f"ipsec{number}", hosted=f"10.{number}.0.0/24")
        for number in range(20, 50)
    ]
    for tunnel in several:
        services.edit(tunnel, "remote_peer", "198.51.100.7", user)
        services.set_preshared_key(tunnel, "a key", user)
        tunnel.subnets.add(live.subnets.get(kind="customer"))
        Revision.next_for(tunnel, Tunnel.objects.get(pk=tunnel.pk).draft(), user).save()
    held = {(one := connection(tunnel)).name: one.as_loaded for tunnel in several}

    def seen(amounts: TrafficCounts, *but: Tunnel):
        return [
            line(tunnel, carriers(tunnel, amounts, now, id=f"{tunnel.pk}-aa"), now)
            for tunnel in several
            if tunnel not in but
        ]

    monkeypatch.setattr(traffic_recorder, "WRITE_SECONDS", 0)
    watch.sample_all(held, seen(TrafficCounts(1, 1, 1, 1)), now)
    with CaptureQueriesContext(database) as captured:
        watch.close()
    assert (Traffic.objects.count(), len(captured) <= 8) == (30, True)

    monkeypatch.setattr(traffic_recorder, "MAX_PAIRS", 1)
    watch.sample_all(held, seen(TrafficCounts(2, 2, 2, 2), several[-1]), now)
    watch.write_if_due()

    assert Traffic.objects.get(tunnel=several[-1]).lines == []
    assert not Traffic.objects.filter(pairs__icontains=", 2, 2").exists()
