"""Anomalies of running tunnels, by comparison of observations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.desired_state import compile_specs
from tests.unit.samples import KEY, example
from vpnportal.domain.diagnosis.anomalies import AnomalyDetector
from vpnportal.domain.planning.observed import ChildSa, IkeSa

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
(CONNECTION,) = compile_specs([example()], KEY).connections.values()
LOADED = {CONNECTION.name: CONNECTION.as_loaded}
(NAME,) = CONNECTION.children
CHILD = ChildSa(NAME, "1", "INSTALLED", local_ts=("10.2.0.0/24",), remote_ts=("192.168.10.0/24",))


def observe(detector: AnomalyDetector, *children: ChildSa, seconds: float = 0):
    """Return the changed anomalies after a full observation, `seconds` after noon."""
    sa = IkeSa(CONNECTION.name, "1", "ESTABLISHED", children)
    return detector.observe(LOADED, [sa], NOON + timedelta(seconds=seconds), is_full=True)


def with_packets(packets_in: int, packets_out: int, seconds: int) -> ChildSa:
    return replace(CHILD, packets_in=packets_in, packets_out=packets_out, installed_seconds=seconds)


def test_healthy_tunnels_have_no_anomalies():
    detector = AnomalyDetector({})

    assert observe(detector, with_packets(0, 0, 5)) == {}
    assert observe(detector, with_packets(9, 9, 15), seconds=10) == {}
    assert observe(detector, with_packets(9, 9, 25), seconds=20) == {}


def test_traffic_is_one_way_until_a_packet_is_received():
    detector = AnomalyDetector({})
    observe(detector, with_packets(5, 5, 5))

    assert observe(detector, with_packets(5, 7, 15), seconds=10) == {}
    assert observe(detector, with_packets(5, 8, 25), seconds=20) == {
        42: {"one_way_since": NOON.isoformat()}
    }
    assert observe(detector, with_packets(5, 90, 35), seconds=30) == {}
    assert observe(detector, with_packets(6, 91, 45), seconds=40) == {42: {}}


def test_negotiated_networks_smaller_than_the_loaded_ones_are_narrowed():
    narrow = replace(CHILD, remote_ts=("192.168.10.0/25",))

    assert observe(AnomalyDetector({}), narrow) == {
        42: {"narrowed": [["10.2.0.0/24"], ["192.168.10.0/25"]]}
    }


def test_two_settled_children_of_the_same_name_are_duplicates_and_a_rekey_is_not():
    young, old = replace(CHILD, unique_id="2", installed_seconds=1), with_packets(1, 1, 900)
    rekeyed = replace(old, state="REKEYED")

    assert observe(AnomalyDetector({}), old, young) == {}
    assert observe(AnomalyDetector({}), rekeyed, replace(young, installed_seconds=60)) == {}
    assert observe(AnomalyDetector({}), old, replace(young, installed_seconds=60)) == {
        42: {"duplicates": 2}
    }


def test_downs_count_for_five_minutes_and_simultaneous_downs_once():
    detector = AnomalyDetector({})
    for seconds in (0, 1, 10, 20):
        changed = detector.child_down(42, NOON + timedelta(seconds=seconds))

    assert len(changed[42]["downs"]) == 3
    assert len(observe(detector, CHILD, seconds=301)[42]["downs"]) == 2
    assert detector.settings_loaded(42) == {42: {}}


def test_the_first_observation_corrects_saved_anomalies():
    detector = AnomalyDetector({42: {"duplicates": 2}, 77: {"one_way_since": NOON.isoformat()}})

    assert observe(detector, CHILD) == {42: {}, 77: {}}
