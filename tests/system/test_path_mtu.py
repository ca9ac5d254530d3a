"""Packets are as large as the path through a tunnel allows, and no larger, on kernel ESP."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.running_portal import PYTHON, RunningPortal, wait_for
from tests.system.conftest import bring_up

pytestmark = pytest.mark.kernel_esp

# Answers each connection with the checksum of what it received.
LISTEN = """
import hashlib, socket
with socket.create_server(("0.0.0.0", 8030)) as server:
    while True:
        connection = server.accept()[0]
        checksum = hashlib.sha256()
        while part := connection.recv(1 << 16):
            checksum.update(part)
        connection.sendall(checksum.digest())
        connection.close()
"""
# Sends 3 MB, and prints the MSS of the connection if all of them arrived.
SEND = """
import hashlib, os, socket
data = os.urandom(3_000_000)
connection = socket.create_connection(("{}", 8030), timeout=10)
connection.sendall(data)
connection.shutdown(socket.SHUT_WR)
assert connection.recv(64) == hashlib.sha256(data).digest()
print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""
# Answers one ESP packet of the gateway as a router whose next link is small (RFC 1191).
SMALL_LINK = """
import socket, struct
packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0800))
packets.bind(("public", 0x0800))
print("listening", flush=True)
packet = b""
while packet[9:10] != b"\\x32" or packet[12:16] != socket.inet_aton("{gateway}"):
    packet = packets.recv(2000)
def icmp(checksum):
    return struct.pack("!BBHHH", 3, 4, checksum, 0, {mtu}) + packet[:28]
total = sum(struct.unpack("!18H", icmp(0)))
total = (total >> 16) + (total & 0xFFFF)
error = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
error.sendto(icmp(~(total + (total >> 16)) & 0xFFFF), ("{gateway}", 0))
"""
SERVER, CUSTOMER = "10.2.0.10", "10.1.255.92"
# Bytes of an ESP packet beside its blocks of 16 bytes: IP header, ESP header, initialisation vector
# of AES-CBC, and check value of SHA-256. The last two bytes of the last block are ESP's, too.
ESP_BYTES, BLOCK_BYTES, TRAILER_BYTES = 20 + 8 + 16 + 16, 16, 2
# The MSS has neither the IP header nor the TCP header with its time stamps.
TCP_BYTES = 20 + 20 + 12


def tunnel_mtu(public_mtu: int) -> int:
    """Return the size of the largest packet in the tunnel."""
    return (public_mtu - ESP_BYTES) // BLOCK_BYTES * BLOCK_BYTES - TRAILER_BYTES


@pytest.fixture(scope="module")
def connected(portal: RunningPortal) -> Iterator[RunningPortal]:
    bring_up(portal)
    started = [
        subprocess.Popen(["ip", "netns", "exec", f"{portal.prefix}-{host}", PYTHON, "-c", LISTEN])
        for host in ("server", "customer")
    ]
    wait_for(lambda: mss(portal, "server", CUSTOMER) and mss(portal, "customer", SERVER), 10)
    yield portal
    for process in started:
        process.kill()
        process.wait()


def mss(portal: RunningPortal, host: str, target: str) -> int:
    """Return the MSS of a connection that carried 3 MB without a mistake; 0 if it failed."""
    sent = portal.on(host, PYTHON, "-c", SEND.format(target))
    return int(sent.stdout or 0)


def both_mss(portal: RunningPortal) -> tuple[int, int]:
    """Return the MSS of new connections of the server and of the customer."""
    return mss(portal, "server", CUSTOMER), mss(portal, "customer", SERVER)


def largest_unfragmented(portal: RunningPortal) -> int:
    """Return the MTU in the ICMP error for a packet of the server that is too large."""
    portal.on("server", "ip", "route", "flush", "cache")
    answer = portal.on("server", "ping", "-c", "2", "-W", "1", "-M", "do", "-s", "1472", CUSTOMER)
    found = re.search(r"mtu ?= ?(\d+)", answer.stdout + answer.stderr)
    assert found, answer
    return int(found[1])


@pytest.fixture
def small_public_link(connected: RunningPortal) -> Iterator[int]:
    """Yield the MTU of the public link, which both of its ends know."""
    for host in ("concentrator", "peer"):
        connected.on(host, "ip", "link", "set", "public", "mtu", "1400")
    yield 1400
    for host in ("concentrator", "peer"):
        connected.on(host, "ip", "link", "set", "public", "mtu", "1500")


@pytest.fixture
def small_link_on_the_path(connected: RunningPortal) -> Iterator[int]:
    """Yield the MTU of a link on the public path, of which a router informs the gateway."""
    script = SMALL_LINK.format(gateway="203.0.113.1", mtu=1400)
    argv = ["ip", "netns", "exec", f"{connected.prefix}-peer", PYTHON, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as router:
        assert router.stdout
        assert router.stdout.readline() == "listening\n"
        assert connected.ping(CUSTOMER)
    assert router.returncode == 0
    yield 1400
    connected.on("concentrator", "ip", "route", "flush", "cache")
    connected.on("server", "ip", "route", "flush", "cache")


def test_segments_fill_the_tunnel_in_both_directions(connected):
    # The first connection of the server has noted the MSS of the tunnel.
    assert both_mss(connected) == (tunnel_mtu(1500) - TCP_BYTES,) * 2
    assert largest_unfragmented(connected) == tunnel_mtu(1500) == 1438


@pytest.mark.parametrize("link", ["small_public_link", "small_link_on_the_path"])
def test_a_smaller_public_mtu_is_followed_by_packets_and_new_connections(
    connected, link, request: pytest.FixtureRequest
):
    public_mtu = request.getfixturevalue(link)

    assert largest_unfragmented(connected) == tunnel_mtu(public_mtu) == 1326
    assert mss(connected, "server", CUSTOMER) == tunnel_mtu(public_mtu) - TCP_BYTES
    assert mss(connected, "customer", SERVER) == tunnel_mtu(public_mtu) - TCP_BYTES
