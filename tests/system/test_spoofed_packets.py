"""Unencrypted packets enter a tunnel only from the hosted side, from its hosted subnets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.topology import CONCENTRATOR, CUSTOMER, PEER2, SERVER
from lab.two_customers import TwoCustomers
from tests.running_portal import PYTHON, laboratory_prefix, wait_for
from tests.system.packet_capture import capture
from tests.system.two_tunnels import TwoTunnels

pytestmark = pytest.mark.userland

PREFIX = laboratory_prefix("s")
INTERNAL, CUSTOMERS_OWN = "10.1.0.5", "192.168.1.15"
USAGE_SET = ("ip", "vpnportal", "used")
# Echo requests with the identification 7, sent to the gateway's Ethernet address.
FORGE = """
import socket, struct, sys, time
gateway, source, target, number = sys.argv[1:]
def checksum(raw):
    total = sum(struct.unpack(f"!{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
echo = echo[:2] + checksum(echo) + echo[4:]
head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 1, 0)
head += socket.inet_aton(source) + socket.inet_aton(target)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("public", 0))
ethernet = bytes.fromhex(gateway.replace(":", "")) + b"\\2\\0\\0\\0\\0\\1\\x08\\0"
for _ in range(int(number)):
    link.send(ethernet + head[:10] + checksum(head) + head[12:] + echo)
    time.sleep(0.005)
"""


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory) -> Iterator[TwoTunnels]:
    """Yield the first customer's tunnel, whose network is reached without translation, too."""
    with TwoCustomers(PREFIX, tmp_path_factory.mktemp("s"), (2, 2)).running() as lab:
        tunnel = TwoTunnels(lab)
        tunnel.specs = {1: replace(tunnel.specs[1], translated_only=False)}
        tunnel.converge()
        yield tunnel


def forge(tunnel: TwoTunnels, source: str, target: str) -> None:
    """Send an echo request in the clear from the public side."""
    shown = tunnel.lab.on(CONCENTRATOR, "ip", "link", "show", "public").stdout
    gateway = ethernet_address(shown)
    sent = tunnel.lab.on(PEER2, PYTHON, "-c", FORGE, gateway, source, target, "1")
    assert sent.returncode == 0, sent.stderr


def ethernet_address(shown: str) -> str:
    """Return the Ethernet address in the output of `ip link show`."""
    match = re.search(r"link/ether (\S+)", shown)
    assert match, shown
    return match[1]


@pytest.mark.parametrize("target", [INTERNAL, CUSTOMERS_OWN])
def test_s4_a_servers_address_from_the_public_side_is_counted_and_dropped(tunnel, target):
    assert tunnel.lab.ping(target)
    dropped = tunnel.counter("not_from_hosted")

    with capture(tunnel.lab, CUSTOMER, "private", "icmp[icmptype]=icmp-echo") as packets:
        forge(tunnel, "10.2.0.10", target)
        assert tunnel.lab.ping("10.2.0.10", CUSTOMER)

    assert not [line for line in packets if f"> {CUSTOMERS_OWN}:" in line]
    assert tunnel.counter("not_from_hosted") == dropped + 1


def test_s20_a_strangers_packet_from_the_public_side_is_no_use_of_a_translation(tunnel):
    assert tunnel.lab.ping(INTERNAL)
    tunnel.lab.on(CONCENTRATOR, "nft", "flush", "set", *USAGE_SET)
    dropped = tunnel.counter("not_from_hosted")

    for source in ("198.51.100.9", "10.2.0.10"):
        forge(tunnel, source, INTERNAL)

    wait_for(lambda: tunnel.counter("not_from_hosted") == dropped + 2, 10)
    listed = ("nft", "list", "set", *USAGE_SET)
    assert INTERNAL not in tunnel.lab.on(CONCENTRATOR, *listed).stdout
    assert tunnel.lab.ping(INTERNAL)
    assert INTERNAL in tunnel.lab.on(CONCENTRATOR, *listed).stdout


def test_a_server_may_use_another_link_than_the_answers(tunnel):
    route = ("10.1.0.4/30", "via", "10.4.0.1", "dev", "hosted2", "src", "10.2.0.10")
    tunnel.lab.on(SERVER, "ip", "route", "add", *route)
    try:
        with capture(tunnel.lab, CONCENTRATOR, "hosted2", "icmp") as packets:
            assert tunnel.lab.ping(INTERNAL)
    finally:
        tunnel.lab.on(SERVER, "ip", "route", "del", *route)

    assert [line for line in packets if "echo request" in line]
    assert not [line for line in packets if "echo reply" in line]


def test_a_server_outside_the_hosted_subnets_of_a_tunnel_does_not_enter_it(tunnel):
    assert not tunnel.lab.ping(INTERNAL, SERVER, "-I", "10.4.0.10")


def test_only_the_named_interfaces_are_the_hosted_side(tunnel):
    tunnel.hosted_interfaces = ("hosted2",)
    tunnel.converge()
    dropped = tunnel.counter("not_from_hosted")
    try:
        assert not tunnel.lab.ping(INTERNAL)
        assert tunnel.counter("not_from_hosted") > dropped
    finally:
        tunnel.hosted_interfaces = ()
        tunnel.converge()
    assert tunnel.lab.ping(INTERNAL)
