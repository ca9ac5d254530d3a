"""Two customers with the network 192.168.1.0/24, each behind a tunnel of one concentrator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from lab.topology import CONCENTRATOR, CUSTOMER, CUSTOMER2, PEER, SERVER
from lab.two_customers import TwoCustomers
from tests.running_portal import PYTHON, laboratory_prefix, wait_for
from tests.system.packet_capture import capture, sent
from tests.system.two_tunnels import TwoTunnels
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netfilter.usage_set import read_usage_set

pytestmark = pytest.mark.kernel_esp

PREFIX = laboratory_prefix("q")
FIRST, SECOND = "10.1.0.5", "10.1.0.9"
CONNECT = """
import socket
connection = socket.socket()
connection.bind(("192.168.1.15", 40001))
connection.settimeout(4)
connection.connect(("10.2.0.10", 8081))
connection.recv(1)
"""
ACCEPT_TWO = """
import socket
server = socket.create_server(("10.2.0.10", 8081))
print("ready", flush=True)
held = [server.accept() for _ in range(2)]
for connection, address in held:
    connection.sendall(b".")
    print(*address)
"""
# Fragments of one datagram of 1,600 bytes. The identification of the packet is the same everywhere.
SEND_FRAGMENT = """
import socket, struct, sys
part, letter = int(sys.argv[1]), sys.argv[2].encode()
data = struct.pack("!HHHH", 5000, 5001, 1608, 0) + letter * 1600
piece, flags = (data[:800], 0x2000) if part == 0 else (data[800:], 100)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
addresses = socket.inet_aton("192.168.1.15") + socket.inet_aton("10.2.0.10")
head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(piece), 4711, flags, 64, 17, 0) + addresses
raw.sendto(head + piece, ("10.2.0.10", 0))
"""
RECEIVE_TWO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.2.0.10", 5001))
server.settimeout(20)
print("ready", flush=True)
for _ in range(2):
    data, address = server.recvfrom(2000)
    print(address[0], len(data), "".join(sorted(set(data.decode()))))
"""
REFUSED = """
import socket
for at in ("10.1.0.5", "10.1.0.9"):
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("10.2.0.10", 40002))
    probe.settimeout(2)
    probe.connect((at, 9))
    probe.send(b"?")
    try:
        probe.recv(1)
    except ConnectionRefusedError:
        print(at)
"""


@pytest.fixture(scope="module", params=[(1, 2), (2, 1)], ids=["IKEv1 and IKEv2", "and reversed"])
def two(request, tmp_path_factory) -> Iterator[TwoTunnels]:
    with TwoCustomers(PREFIX, tmp_path_factory.mktemp("q"), request.param).running() as lab:
        two = TwoTunnels(lab)
        two.converge()
        with two.answering():
            yield two


def test_each_internal_address_leads_to_its_own_customer(two: TwoTunnels):
    addresses = (FIRST, "10.1.0.6", SECOND, "10.1.0.10")

    assert [two.ask(address) for address in addresses] == [
        [CUSTOMER],
        [CUSTOMER],
        [CUSTOMER2],
        [CUSTOMER2],
    ]


def test_a_server_speaks_to_both_customers_at_once_from_one_port(two: TwoTunnels):
    assert two.ask(FIRST, SECOND, port=40000) == [CUSTOMER, CUSTOMER2]


def test_both_customers_reach_a_server_at_once_from_equal_addresses_and_ports(two: TwoTunnels):
    server = two.start(SERVER, PYTHON, "-c", ACCEPT_TWO)
    assert server.stdout and server.stdout.readline() == "ready\n"
    clients = [two.start(host, PYTHON, "-c", CONNECT) for host in (CUSTOMER, CUSTOMER2)]

    assert [client.wait(10) for client in clients] == [0, 0]
    assert sorted(server.communicate()[0].split("\n")[:2]) == ["10.1.0.5 40001", "10.1.0.9 40001"]


def test_fragments_of_both_customers_with_one_identification_are_not_mixed(two: TwoTunnels):
    server = two.start(SERVER, PYTHON, "-c", RECEIVE_TWO)
    assert server.stdout and server.stdout.readline() == "ready\n"

    for part in ("0", "1"):
        for host, letter in ((CUSTOMER, "a"), (CUSTOMER2, "b")):
            two.lab.on(host, PYTHON, "-c", SEND_FRAGMENT, part, letter)

    assert sorted(server.communicate()[0].splitlines()) == ["10.1.0.5 1600 a", "10.1.0.9 1600 b"]


def test_icmp_errors_of_both_customers_come_from_their_internal_addresses(two: TwoTunnels):
    assert two.lab.on(SERVER, PYTHON, "-c", REFUSED).stdout.split() == [FIRST, SECOND]


@pytest.mark.parametrize("address", [FIRST, SECOND])
def test_a_packet_that_is_too_large_is_reported_from_its_internal_address(two, address):
    ping = two.lab.on(SERVER, "ping", "-n", "-c", "1", "-M", "do", "-s", "1472", "-W", "1", address)

    assert re.search(rf"From {address} .*Frag needed", ping.stdout + ping.stderr)


@pytest.mark.parametrize(("host", "other"), [(CUSTOMER, CUSTOMER2), (CUSTOMER2, CUSTOMER)])
def test_an_error_of_the_gateway_itself_goes_into_the_tunnel_of_its_packet(two, host, other):
    with capture(two.lab, other, "private", "icmp") as packets:
        # The customer's device is the first hop.
        ping = two.lab.on(host, "ping", "-n", "-c", "1", "-t", "2", "-W", "2", "10.2.0.10")

    assert "From 10.2.0.10 icmp_seq=1 Time to live exceeded" in ping.stdout
    assert [line for line in packets if "ICMP" in line] == []
    assert two.lab.ping("10.2.0.1", host)


@pytest.mark.parametrize("host", [CUSTOMER, CUSTOMER2])
@pytest.mark.parametrize("target", ["10.2.0.99", "10.2.0.88"], ids=["no server", "no route"])
def test_a_customer_learns_through_the_tunnel_that_an_address_is_unreachable(two, host, target):
    """The gateway notices a missing server after it has translated the customer's address."""
    route = ("unreachable", "10.2.0.88/32")
    two.lab.on(CONCENTRATOR, "ip", "route", "add", *route)
    try:
        with sent(two.lab, CONCENTRATOR) as packets:
            # The kernel asks for the server's Ethernet address for three seconds.
            ping = two.lab.on(host, "ping", "-n", "-c", "1", "-W", "6", target).stdout
    finally:
        two.lab.on(CONCENTRATOR, "ip", "route", "del", *route)

    assert f"From {target} icmp_seq=1 Destination Host Unreachable" in ping
    assert [line for line in packets if "ICMP" in line] == []


def test_a_rekey_of_every_sa_keeps_the_tunnels_apart(two: TwoTunnels):
    before = spis(two)
    for name in ("ctx1", "ctx2"):
        two.swanctl("--rekey", "--ike", name)
        two.swanctl("--rekey", "--child", child_of(two, name))

    wait_for(lambda: not spis(two) & before, 20)
    assert two.ask(FIRST, SECOND, port=40003) == [CUSTOMER, CUSTOMER2]
    assert two.lab.ping("10.2.0.10", CUSTOMER)
    assert two.lab.ping("10.2.0.10", CUSTOMER2)


def test_the_ping_of_a_trial_goes_to_the_customer_of_its_tunnel(two: TwoTunnels):
    two.lab.on(CUSTOMER2, "ip", "address", "del", "192.168.1.17/24", "dev", "private")
    own = frozenset({IPv4Address("10.2.0.1")})

    with two.inside():
        answers = {
            (address, mark): two.gateway.ping(IPv4Address(address), own, mark)
            for address in ("192.168.1.15", "192.168.1.17")
            for mark in (1, 2)
        }

    assert answers == {
        ("192.168.1.15", 1): True,
        ("192.168.1.15", 2): True,
        ("192.168.1.17", 1): True,
        ("192.168.1.17", 2): False,
    }


def test_the_last_use_is_that_of_the_customer_who_was_reached(two: TwoTunnels):
    two.lab.on(CONCENTRATOR, "nft", "flush", "set", "ip", "vpnportal", "used")
    assert two.lab.ping("10.1.0.6")
    assert two.lab.ping("10.2.0.10", CUSTOMER2)

    with two.inside():
        uses = read_usage_set(NetlinkSocket())

    pairs = {(str(IPv4Address(use.internal)), str(IPv4Address(use.customer))) for use in uses or ()}
    assert pairs == {("10.1.0.6", "192.168.1.16"), (SECOND, "192.168.1.15")}


def test_the_flows_of_a_removed_translation_end_in_its_zone_only(two: TwoTunnels):
    kept = two.specs[1]
    pings = [two.start(SERVER, "ping", "-n", "-i", "0.1", at) for at in (FIRST, SECOND)]
    try:
        wait_for(lambda: zones_of_flows(two) >= {1, 2}, 10)

        two.specs[1] = replace(kept, translations=kept.translations[1:])
        two.converge()
        assert zones_of_flows(two) & {1, 2} == {2}
        assert two.lab.ping(SECOND)
    finally:
        for ping in pings:
            ping.kill()
            ping.wait()
        two.specs[1] = kept
        two.converge()


def test_nothing_for_a_tunnel_that_is_down_reaches_the_other_customer_or_leaves_in_the_clear(two):
    two.swanctl("--terminate", "--ike", "ctx2", "--force")
    dropped = two.counter("outside_tunnels")

    with (
        capture(two.lab, CUSTOMER, "private", "icmp") as at_first,
        capture(two.lab, PEER, "public") as on_the_wire,
    ):
        assert not two.lab.ping(SECOND)
        assert not two.lab.ping("10.2.0.10", CUSTOMER2)

    assert [line for line in at_first if "ICMP" in line] == []
    assert [line for line in on_the_wire if "ICMP" in line or "192.168.1." in line] == []
    assert two.counter("outside_tunnels") > dropped
    assert two.ask(FIRST) == [CUSTOMER]
    two.converge()
    assert two.ask(SECOND) == [CUSTOMER2]


def spis(two: TwoTunnels) -> set[str]:
    """Return the SPIs of the IKE_SAs and CHILD_SAs that charon lists as usable."""
    listed = two.swanctl("--list-sas")
    children = re.findall(r"INSTALLED.*\n(?:.*\n)*?    in  (\w{8})", listed)
    return {*children, *re.findall(r"ESTABLISHED, \S+ (\w{16})", listed)}


def child_of(two: TwoTunnels, connection: str) -> str:
    match = re.search(rf"^  ({connection}-\S+): ", two.swanctl("--list-sas"), re.MULTILINE)
    assert match
    return match[1]


def zones_of_flows(two: TwoTunnels) -> set[int]:
    """Return the zones of the ping flows to 192.168.1.15 that the concentrator tracks."""
    listed = two.lab.on(CONCENTRATOR, "conntrack", "-L", "-p", "icmp").stdout
    return set(map(int, re.findall(r"src=192\.168\.1\.15 dst=10\.2\.0\.10 .*zone=(\d+)", listed)))
