"""What charon lists and tells in events, as counters of children that nothing else is taken for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vpnportal.domain.traffic.counters import TrafficCounts
from vpnportal.gateway.vici.events import event
from vpnportal.gateway.vici.sa_counters import line

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
    """As vici has it in events."""
    if isinstance(value, dict):
        return {key: in_bytes(item) for key, item in value.items()}
    return [in_bytes(item) for item in value] if isinstance(value, list) else value.encode()


def test_times_are_counted_from_when_charon_was_asked():
    (child,) = line("ctx42", {**SA, "child-sas": {"one": CHILD}}, NOON).child_sas

    assert child.counts == TrafficCounts(1028, 2056, 1, 2)
    assert child.installed_at == NOON - timedelta(seconds=60)
    assert (child.rekey_at, child.ends_at) == (
        NOON + timedelta(seconds=3000),
        NOON + timedelta(seconds=3540),
    )


def test_charon_counts_its_children_anew_and_their_spis_tell_them_apart():
    def id_of(spi: str) -> str:
        body = {**SA, "child-sas": {"one": {**CHILD, "spi-in": spi}}}
        return line("ctx42", body, NOON).child_sas[0].id

    assert id_of("c1a2b3c4") != id_of("c1a2b3c5")


def test_a_child_that_has_no_keys_yet_carries_nothing():
    coming = {key: value for key, value in CHILD.items() if key != "spi-in"}

    assert line("ctx42", {**SA, "child-sas": {"one": coming}}, NOON).child_sas == ()


def test_at_a_rekey_the_old_child_tells_what_it_counted_and_nobody_looks():
    body = in_bytes({"ctx42": {**SA, "child-sas": {"one": {"old": CHILD, "new": {**CHILD}}}}})

    heard = event(b"child-rekey", body)

    assert heard.connections == ()
    assert [one.counts for one in heard.ended[0].child_sas] == [TrafficCounts(1028, 2056, 1, 2)]


def test_a_child_that_goes_down_tells_what_it_counted_and_one_that_comes_up_does_not():
    body = in_bytes({"ctx42": {**SA, "child-sas": {"one": CHILD}}})

    down, up = event(b"child-updown", body), event(b"child-updown", {**body, "up": b"yes"})

    assert (len(down.ended), down.connections, up.ended) == (1, ("ctx42",), ())
