"""The hosted side is right from a tunnel's first packet on, and seconds after a change of links."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.running_portal import PYTHON, RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.packet_capture import capture, sent
from tests.system.test_spoofed_packets import FORGE, ethernet_address

pytestmark = pytest.mark.userland

# The monitor requests the converge within a second, and after an earlier change within five.
FOLLOWED_SECONDS = 15
FULL_CONVERGE = """
from vpnportal import tasks
tasks.request_converge(tunnel.concentrator)
"""


@contextmanager
def forged_packets(portal: RunningPortal, target: str) -> Iterator[None]:
    """Send packets in the clear from the public side, with a server's address, all the time."""
    shown = portal.on("concentrator", "ip", "link", "show", "public").stdout
    command = (PYTHON, "-c", FORGE, ethernet_address(shown), "10.2.0.10", target, "1000000")
    forging = subprocess.Popen(["ip", "netns", "exec", f"{portal.prefix}-peer", *command])
    try:
        yield
        assert forging.poll() is None
    finally:
        forging.kill()
        forging.wait()


def hosted_side(portal: RunningPortal) -> set[str]:
    command = ("nft", "list", "set", "ip", "vpnportal", "hosted_side")
    listed = portal.on("concentrator", *command).stdout
    return set(listed.split('"')[1::2])


def test_no_packet_of_the_public_side_enters_the_first_tunnel(portal: RunningPortal):
    wait_for(lambda: "hosted" in hosted_side(portal), 70)

    with (
        forged_packets(portal, "10.1.255.92"),
        capture(portal, "customer", "private", "icmp[icmptype]=icmp-echo") as packets,
    ):
        assert portal.apply(translate())["outcome"] == "live"
        wait_for(portal.ping, 20)
        time.sleep(1)

    assert [line for line in packets if "> 192.168.10.15" in line], "the server's own ping"
    assert [line for line in packets if "id 7," in line] == []
    assert hosted_side(portal) == {"hosted"}


def test_while_the_hosted_link_is_down_no_packet_of_a_customer_leaves_on_the_public_side(live):
    live.on("concentrator", "ip", "link", "set", "hosted", "down")
    try:
        live.do(FULL_CONVERGE)
        time.sleep(5)
        with sent(live, "concentrator") as packets:
            assert not live.ping("10.2.0.10", host="customer")
        admitted = hosted_side(live)
    finally:
        live.on("concentrator", "ip", "link", "set", "hosted", "up")

    assert [line for line in packets if "ICMP" in line] == []
    assert admitted == {"hosted"}
    wait_for(live.ping, 20)


def test_an_interface_that_gets_a_hosted_peer_address_leaves_the_hosted_side_within_seconds(live):
    for command in ("link add more type bridge", "link set more up"):
        live.on("concentrator", "ip", *command.split())
    try:
        wait_for(lambda: hosted_side(live) == {"hosted", "more"}, FOLLOWED_SECONDS)

        live.on("concentrator", "ip", "address", "add", "203.0.113.1/32", "dev", "more")

        wait_for(lambda: hosted_side(live) == {"hosted"}, FOLLOWED_SECONDS)
    finally:
        live.on("concentrator", "ip", "link", "delete", "more")
    assert live.ping()
