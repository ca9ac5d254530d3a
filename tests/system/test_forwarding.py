"""Packets from a tunnel reach its servers and nothing else at the provider."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.running_portal import PYTHON, RunningPortal, wait_for
from tests.system.packet_capture import capture

pytestmark = [pytest.mark.userland, pytest.mark.shared_portal]

LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 8022)) as server:
    while True:
        server.accept()[0].close()
"""
CONNECT = "import socket; socket.create_connection(({!r}, 8022), timeout=1)"


@pytest.fixture
def listening(live: RunningPortal) -> Iterator[RunningPortal]:
    """Yield a TCP service on the gateway and on the server."""
    started = [
        subprocess.Popen(
            ["ip", "netns", "exec", f"{live.prefix}-{host}", PYTHON, "-c", LISTEN],
            stderr=subprocess.DEVNULL,
        )
        for host in ("concentrator", "server")
    ]
    wait_for(lambda: reaches(live, "concentrator", "10.2.0.1"), 5)
    wait_for(lambda: reaches(live, "server", "10.2.0.10"), 5)
    yield live
    for process in started:
        process.kill()
        process.wait()


def reaches(portal: RunningPortal, host: str, address: str) -> bool:
    return portal.on(host, PYTHON, "-c", CONNECT.format(address)).returncode == 0


def dropped_packets(portal: RunningPortal, counter: str) -> int:
    listed = portal.on("concentrator", "nft", "-j", "list", "counters").stdout
    (packets,) = (
        item["counter"]["packets"]
        for item in json.loads(listed)["nftables"]
        if item.get("counter", {}).get("name") == counter
    )
    return packets


def test_a_customer_reaches_the_servers_and_can_only_ping_the_gateway(listening):
    before = dropped_packets(listening, "to_the_gateway")

    assert reaches(listening, "customer", "10.2.0.10")
    assert not reaches(listening, "customer", "10.2.0.1")

    assert dropped_packets(listening, "to_the_gateway") > before
    assert listening.ping("10.2.0.1", host="customer")


@pytest.mark.parametrize("address", ["10.1.255.93", "10.3.0.10"])
def test_a_customer_reaches_no_address_outside_the_tunnels_subnets(listening, address):
    assert not listening.ping(address, host="customer")


def test_a_server_learns_at_once_that_an_address_has_no_translation(live):
    answer = live.on("server", "ping", "-n", "-c", "1", "-W", "5", "10.1.255.93").stdout

    assert "From 10.2.0.1 icmp_seq=1 Destination Host Unreachable" in answer


def test_a_decrypted_packet_without_a_route_to_the_servers_does_not_leave_on_the_public_side(live):
    route = ("10.2.0.77/32", "via", "203.0.113.2")
    live.on("concentrator", "ip", "route", "add", *route)
    before = dropped_packets(live, "outside_tunnels")
    options = ("-Q", "out", "icmp and host 10.2.0.77")
    try:
        with capture(live, "concentrator", "public", *options) as packets:
            assert not live.ping("10.2.0.77", host="customer")
    finally:
        live.on("concentrator", "ip", "route", "del", *route)

    assert "10.2.0.77" not in "\n".join(packets)
    assert dropped_packets(live, "outside_tunnels") == before + 1
