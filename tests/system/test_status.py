"""What the Status section counts is what really went through the tunnel, over rekeys too."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import bring_up
from tests.system.test_example import load_device
from vpnportal.domain.traffic.counters import TrafficCounts

# Payload and headers of ICMP and IP, in bytes, of each packet of a ping.
PAYLOAD, HEADERS, PINGS = 1_000, 28, 50
KEPT = """
row = Traffic.objects.get(tunnel=tunnel)
say({"pairs": row.pairs, "lines": row.lines, "minutes": row.minutes})
"""
# A look every ten seconds, and a second to write.
SEEN_SECONDS = 15


def carried(portal: RunningPortal) -> TrafficCounts:
    """The sum over all keys there were."""
    total = TrafficCounts()
    for _, *amounts in portal.do(KEPT)["pairs"].values():
        total = total.plus(TrafficCounts(*amounts))
    return total


def children(portal: RunningPortal) -> list[dict]:
    return [one for line in portal.do(KEPT)["lines"] for one in line["carriers"]]


def send(portal: RunningPortal) -> TrafficCounts:
    """Known traffic in both directions, and what it amounts to."""
    sent = portal.on(
        "server", "ping", "-q", "-i", "0.01", "-c", str(PINGS), "-s", str(PAYLOAD), "10.1.255.92"
    )
    assert f"{PINGS} received" in sent.stdout
    each = PINGS * (PAYLOAD + HEADERS)
    return TrafficCounts(each, each, PINGS, PINGS)


def ask_charon(portal: RunningPortal, *command: str) -> str:
    vici = f"unix://{portal.state}/lab/concentrator/charon.vici"
    done = portal.run("swanctl", *command, "--uri", vici)
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest(portal: RunningPortal) -> dict:
    """The child that is the youngest of those that are written down."""
    return max(children(portal), key=lambda one: one["installed_at"])


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def up(request, portal: RunningPortal) -> RunningPortal:
    """The example in one IKE version for all tests, and then in the other."""
    live = bring_up(portal)
    device = live.state / "lab" / "peer" / "swanctl.conf"
    wanted = re.sub(r"version = \d", f"version = {request.param}", device.read_text())
    if wanted != device.read_text():
        load_device(live, device, wanted)
        live.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
        wait_for(lambda: f"IKEv{request.param}" in ask_charon(live, "--list-sas"), 15)
    wait_for(live.ping, 15)
    return live


@pytest.fixture
def counted(up: RunningPortal) -> RunningPortal:
    """All that went through so far is written down; so nothing may be sent before a test."""
    wait_for(lambda: steady(up), 4 * SEEN_SECONDS)
    return up


def steady(portal: RunningPortal) -> bool:
    """Whether what is written is what charon lists, so that the rest is what a test sends."""
    if not portal.do("say(Traffic.objects.filter(tunnel=tunnel).count())"):
        return False
    before = carried(portal)
    # What a child told when it ended is written within a second.
    time.sleep(2)
    if carried(portal) != before:
        return False
    listed = ask_charon(portal, "--list-sas")
    running = re.findall(r"^\s+in .*?, +(\d+) bytes", listed, re.MULTILINE)
    return sorted(map(int, running)) == sorted(one["amounts"][0] for one in children(portal))


def test_known_traffic_is_counted_exactly_in_both_directions(counted):
    before = carried(counted)

    sent = send(counted)

    wait_for(lambda: carried(counted) == before.plus(sent), SEEN_SECONDS)
    (minutes,) = counted.do(KEPT)["minutes"].values()
    assert sum(one[1] for one in minutes) >= sent.bytes_in


def test_a_rekey_takes_nothing_from_what_was_counted(counted):
    expected, old = carried(counted).plus(send(counted)), newest(counted)
    wait_for(lambda: carried(counted) == expected, SEEN_SECONDS)

    ask_charon(counted, "--rekey", "--child", old["name"])
    wait_for(lambda: newest(counted)["id"] != old["id"], SEEN_SECONDS)

    assert carried(counted) == expected
    expected = expected.plus(send(counted))
    wait_for(lambda: carried(counted) == expected, SEEN_SECONDS)


def test_what_a_child_carried_after_the_last_look_is_told_when_it_ends(counted):
    expected, old = carried(counted).plus(send(counted)), newest(counted)

    ask_charon(counted, "--terminate", "--child", old["name"])

    wait_for(lambda: old["id"] not in {one["id"] for one in children(counted)}, SEEN_SECONDS)
    wait_for(lambda: children(counted), 2 * SEEN_SECONDS)
    assert carried(counted) == expected


def test_the_time_to_the_next_rekey_lies_within_the_key_life(counted):
    child, keylife = newest(counted), counted.do("say(tunnel.phase_two_keylife)")
    rekey, end = (datetime.fromisoformat(child[key]) for key in ("rekey_at", "ends_at"))

    assert timedelta(0) < rekey - datetime.now(UTC) < timedelta(seconds=keylife)
    assert rekey < end
