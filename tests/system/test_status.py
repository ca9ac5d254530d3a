"""The traffic in the Status section equals the traffic through the tunnel, over rekeys too."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import bring_up
from tests.system.test_example import load_device
from vpnportal.domain.traffic.counters import TrafficCounts

# Bytes of each packet of a ping: payload, and headers of ICMP and IP.
PAYLOAD, HEADERS, PINGS = 1_000, 28, 50
TRAFFIC = """
row = Traffic.objects.get(tunnel=tunnel)
say({"pairs": row.pairs, "lines": row.lines, "minutes": row.minutes})
"""
# The monitor samples every ten seconds and writes within a second.
SAMPLE_SECONDS = 15


def recorded_traffic(portal: RunningPortal) -> TrafficCounts:
    """Return the sum over all subnet pairs."""
    total = TrafficCounts()
    for _, *amounts in portal.do(TRAFFIC)["pairs"].values():
        total = total.plus(TrafficCounts(*amounts))
    return total


def recorded_children(portal: RunningPortal) -> list[dict]:
    return [child for line in portal.do(TRAFFIC)["lines"] for child in line["carriers"]]


def send(portal: RunningPortal) -> TrafficCounts:
    """Send pings through the tunnel; return their traffic in both directions."""
    sent = portal.on(
        "server", "ping", "-q", "-i", "0.01", "-c", str(PINGS), "-s", str(PAYLOAD), "10.1.255.92"
    )
    assert f"{PINGS} received" in sent.stdout
    total = PINGS * (PAYLOAD + HEADERS)
    return TrafficCounts(total, total, PINGS, PINGS)


def swanctl(portal: RunningPortal, *command: str) -> str:
    uri = f"unix://{portal.state}/lab/concentrator/charon.vici"
    done = portal.run("swanctl", *command, "--uri", uri)
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest_child(portal: RunningPortal) -> dict:
    """Return the recorded CHILD_SA that was installed last."""
    return max(recorded_children(portal), key=lambda child: child["installed_at"])


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def up(request, portal: RunningPortal) -> RunningPortal:
    """Return the example in IKEv1 for all tests, and then in IKEv2."""
    live = bring_up(portal)
    file = live.state / "lab" / "peer" / "swanctl.conf"
    text = re.sub(r"version = \d", f"version = {request.param}", file.read_text())
    if text != file.read_text():
        load_device(live, file, text)
        live.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
        wait_for(lambda: f"IKEv{request.param}" in swanctl(live, "--list-sas"), 15)
    wait_for(live.ping, 15)
    return live


@pytest.fixture
def all_recorded(up: RunningPortal) -> RunningPortal:
    """Return a portal that has recorded all traffic so far, so that a test adds the rest."""
    wait_for(lambda: is_all_recorded(up), 4 * SAMPLE_SECONDS)
    return up


def is_all_recorded(portal: RunningPortal) -> bool:
    """Return True if the recorded counters equal those that charon lists."""
    if not portal.do("say(Traffic.objects.filter(tunnel=tunnel).count())"):
        return False
    before = recorded_traffic(portal)
    # The monitor writes the last counters of a terminated CHILD_SA within a second.
    time.sleep(2)
    if recorded_traffic(portal) != before:
        return False
    listed = swanctl(portal, "--list-sas")
    bytes_in = re.findall(r"^\s+in .*?, +(\d+) bytes", listed, re.MULTILINE)
    return sorted(map(int, bytes_in)) == sorted(
        child["amounts"][0] for child in recorded_children(portal)
    )


def test_the_monitor_counts_traffic_exactly_in_both_directions(all_recorded):
    before = recorded_traffic(all_recorded)

    sent = send(all_recorded)

    wait_for(lambda: recorded_traffic(all_recorded) == before.plus(sent), SAMPLE_SECONDS)
    (minutes,) = all_recorded.do(TRAFFIC)["minutes"].values()
    assert sum(minute[1] for minute in minutes) >= sent.bytes_in


def test_a_rekey_keeps_the_counted_traffic(all_recorded):
    expected, old = (
        recorded_traffic(all_recorded).plus(send(all_recorded)),
        newest_child(all_recorded),
    )
    wait_for(lambda: recorded_traffic(all_recorded) == expected, SAMPLE_SECONDS)

    swanctl(all_recorded, "--rekey", "--child", old["name"])
    wait_for(lambda: newest_child(all_recorded)["id"] != old["id"], SAMPLE_SECONDS)

    assert recorded_traffic(all_recorded) == expected
    expected = expected.plus(send(all_recorded))
    wait_for(lambda: recorded_traffic(all_recorded) == expected, SAMPLE_SECONDS)


def test_the_last_traffic_of_a_terminated_child_sa_is_counted(all_recorded):
    expected, old = (
        recorded_traffic(all_recorded).plus(send(all_recorded)),
        newest_child(all_recorded),
    )

    swanctl(all_recorded, "--terminate", "--child", old["name"])

    wait_for(
        lambda: old["id"] not in {child["id"] for child in recorded_children(all_recorded)},
        SAMPLE_SECONDS,
    )
    wait_for(lambda: recorded_children(all_recorded), 2 * SAMPLE_SECONDS)
    assert recorded_traffic(all_recorded) == expected


def test_the_time_to_the_next_rekey_lies_within_the_key_life(all_recorded):
    child, keylife = newest_child(all_recorded), all_recorded.do("say(tunnel.phase_two_keylife)")
    rekey, end = (datetime.fromisoformat(child[key]) for key in ("rekey_at", "ends_at"))

    assert timedelta(0) < rekey - datetime.now(UTC) < timedelta(seconds=keylife)
    assert rekey < end
