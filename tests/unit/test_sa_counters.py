"""Traffic counters of CHILD_SAs from `list-sas` and from events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vpnportal.domain.traffic.counters import TrafficCounts
from vpnportal.gateway.vici.events import parse_event
from vpnportal.gateway.vici.sa_counters import ike_sa_sample

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHILD = {
    **{"name": "ctx42-0a0a0a0a-0b0b0b0b", "uniqueid": "1", "state": "INSTALLED"},
    **{"spi-in": "c1a2b3c4", "encr-alg": "AES_CBC", "encr-keysize": "256"},
    **{"bytes-in": "1028", "packets-in": "1", "bytes-out": "2056", "packets-out": "2"},
    **{"install-time": "60", "rekey-time": "3000", "life-time": "3540"},
    **{"local-ts": ["10.2.0.0/24"], "remote-ts": ["192.168.10.0/24"]},
}
SA = {"uniqueid": "7", "version": "2", "established": "90", "rekey-time": "900"}


def in_bytes(value):
    """Return the value with bytes instead of text, as vici's events have it."""
    if isinstance(value, dict):
        return {key: in_bytes(item) for key, item in value.items()}
    return [in_bytes(item) for item in value] if isinstance(value, list) else value.encode()


def test_times_are_relative_to_the_time_of_the_request():
    (child,) = ike_sa_sample("ctx42", {**SA, "child-sas": {"one": CHILD}}, NOON).child_sas

    assert child.counts == TrafficCounts(1028, 2056, 1, 2)
    assert child.installed_at == NOON - timedelta(seconds=60)
    assert (child.rekey_at, child.ends_at) == (
        NOON + timedelta(seconds=3000),
        NOON + timedelta(seconds=3540),
    )


def test_children_with_the_same_number_differ_by_their_spi():
    def id_of(spi: str) -> str:
        body = {**SA, "child-sas": {"one": {**CHILD, "spi-in": spi}}}
        return ike_sa_sample("ctx42", body, NOON).child_sas[0].id

    assert id_of("c1a2b3c4") != id_of("c1a2b3c5")


def test_a_child_without_keys_has_no_sample():
    without_keys = {key: value for key, value in CHILD.items() if key != "spi-in"}

    assert ike_sa_sample("ctx42", {**SA, "child-sas": {"one": without_keys}}, NOON).child_sas == ()


def test_a_rekey_gives_the_counters_of_the_old_child_and_no_connection():
    body = in_bytes({"ctx42": {**SA, "child-sas": {"one": {"old": CHILD, "new": {**CHILD}}}}})

    rekeyed = parse_event(b"child-rekey", body)

    assert rekeyed.connections == ()
    assert [child.counts for child in rekeyed.final_samples[0].child_sas] == [
        TrafficCounts(1028, 2056, 1, 2)
    ]


def test_only_a_child_that_goes_down_gives_its_final_counters():
    body = in_bytes({"ctx42": {**SA, "child-sas": {"one": CHILD}}})

    down = parse_event(b"child-updown", body)
    up = parse_event(b"child-updown", {**body, "up": b"yes"})

    assert (len(down.final_samples), down.connections, up.final_samples) == (1, ("ctx42",), ())
