"""What is odd about running tunnels, by comparing one look with the one before."""

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


def look(notices: AnomalyDetector, *children: ChildSa, seconds: float = 0, loaded=LOADED):
    """The facts that changed when these children run so long after noon."""
    sa = IkeSa(CONNECTION.name, "1", "ESTABLISHED", children)
    return notices.observe(loaded, [sa], NOON + timedelta(seconds=seconds), everything=True)


def counted(packets_in: int, packets_out: int, seconds: int) -> ChildSa:
    return replace(CHILD, packets_in=packets_in, packets_out=packets_out, installed_seconds=seconds)


def test_quiet_tunnels_have_no_facts():
    notices = AnomalyDetector({})

    assert look(notices, counted(0, 0, 5)) == {}
    assert look(notices, counted(9, 9, 15), seconds=10) == {}
    assert look(notices, counted(9, 9, 25), seconds=20) == {}


def test_packets_that_are_only_sent_are_one_way_until_one_comes_back():
    notices = AnomalyDetector({})
    look(notices, counted(5, 5, 5))

    assert look(notices, counted(5, 7, 15), seconds=10) == {}
    assert look(notices, counted(5, 8, 25), seconds=20) == {42: {"one_way_since": NOON.isoformat()}}
    assert look(notices, counted(5, 90, 35), seconds=30) == {}
    assert look(notices, counted(6, 91, 45), seconds=40) == {42: {}}


def test_networks_in_force_that_are_less_than_asked_for_are_narrowed():
    narrow = replace(CHILD, remote_ts=("192.168.10.0/25",))

    assert look(AnomalyDetector({}), narrow) == {
        42: {"narrowed": [["10.2.0.0/24"], ["192.168.10.0/25"]]}
    }


def test_two_settled_children_with_one_name_are_duplicates_and_a_rekey_is_not():
    young, old = replace(CHILD, unique_id="2", installed_seconds=1), counted(1, 1, 900)
    rekeyed = replace(old, state="REKEYED")

    assert look(AnomalyDetector({}), old, young) == {}
    assert look(AnomalyDetector({}), rekeyed, replace(young, installed_seconds=60)) == {}
    assert look(AnomalyDetector({}), old, replace(young, installed_seconds=60)) == {
        42: {"duplicates": 2}
    }


def test_downs_are_counted_for_five_minutes_and_those_together_once():
    notices = AnomalyDetector({})
    for seconds in (0, 1, 10, 20):
        changed = notices.went_down(42, NOON + timedelta(seconds=seconds))

    assert len(changed[42]["downs"]) == 3
    assert len(look(notices, CHILD, seconds=301)[42]["downs"]) == 2
    assert notices.loaded(42) == {42: {}}


def test_facts_that_were_kept_are_corrected_by_the_first_look():
    notices = AnomalyDetector({42: {"duplicates": 2}, 77: {"one_way_since": NOON.isoformat()}})

    assert look(notices, CHILD) == {42: {}, 77: {}}
