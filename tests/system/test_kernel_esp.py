"""Packets through kernel ESP: exact counts, ESP in UDP, a strict gateway, and two customers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import chain
from typing import NamedTuple

import pytest

from lab.topology import CONCENTRATOR, CUSTOMER, CUSTOMER2, PEER, PEER2, SERVER
from lab.two_customers import TwoCustomers
from tests.running_portal import laboratory_prefix, wait_for
from tests.system.packet_capture import capture, sent
from tests.system.two_tunnels import TwoTunnels

pytestmark = pytest.mark.kernel_esp

PREFIX = laboratory_prefix("k")
FIRST, SECOND, HOSTED = "10.1.0.5", "10.1.0.9", "10.2.0.10"
COMPUTERS = {FIRST: CUSTOMER, SECOND: CUSTOMER2}


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[TwoTunnels]:
    """Yield tunnels of IKEv1 and of IKEv2."""
    with TwoCustomers(PREFIX, tmp_path_factory.mktemp("k"), (1, 2)).running() as lab:
        two = TwoTunnels(lab)
        two.converge()
        yield two


@contextmanager
def devices(two: TwoTunnels, *changes: tuple[str, str]) -> Iterator[None]:
    """Change the text of each device's file during the block; the tunnels are down at its begin."""
    files = [charon.folder / "swanctl.conf" for charon in two.lab.device_charons]
    shipped = [file.read_text() for file in files]
    changed = [text.replace(*change) for text, change in zip(shipped, changes, strict=True)]
    assert changed != shipped
    try:
        load_devices(two, changed)
        yield
    finally:
        load_devices(two, shipped)


def load_devices(two: TwoTunnels, texts: list[str]) -> None:
    for charon, text in zip(two.lab.device_charons, texts, strict=True):
        (charon.folder / "swanctl.conf").write_text(text)
        charon.load()
    for name in ("ctx1", "ctx2"):
        if name in two.swanctl("--list-sas"):
            two.swanctl("--terminate", "--ike", name, "--force")


class Child(NamedTuple):
    """A CHILD_SA: bytes and packets that came in, then those that went out, are `counts`."""

    unique_id: int
    name: str
    counts: list[int]


def installed(two: TwoTunnels, connection: str) -> list[Child]:
    """Return the CHILD_SAs that were not rekeyed. IKEv1 keeps the others until their life ends."""
    listed = two.swanctl("--list-sas", "--ike", connection)
    head, line = r"^  (\S+): #(\d+), reqid .* INSTALLED", r".*?, +(\d+) bytes, +(\d+) packets"
    pattern = rf"{head}(?:.*\n)*?    in  {line}.*\n    out {line}"
    return [
        Child(int(unique_id), name, list(map(int, numbers)))
        for name, unique_id, *numbers in re.findall(pattern, listed, re.M)
    ]


def newest_child(two: TwoTunnels, connection: str) -> Child:
    """Return the newest CHILD_SA: for a moment, a rekeyed one is still installed."""
    return max(installed(two, connection))


def counts(two: TwoTunnels, connection: str) -> list[int]:
    return newest_child(two, connection).counts


def rekey(two: TwoTunnels, connection: str) -> None:
    """Rekey the CHILD_SA, and wait for its successor."""
    before = newest_child(two, connection)
    two.swanctl("--rekey", "--child", before.name)
    wait_for(lambda: newest_child(two, connection).unique_id > before.unique_id, 10)


def assert_both_directions_carry(two: TwoTunnels) -> None:
    """Check pings of the server and of each customer, and the source that the server sees."""
    for internal, computer in COMPUTERS.items():
        assert two.lab.ping(internal)
        with capture(two.lab, SERVER, "hosted", "icmp[icmptype]=icmp-echo") as packets:
            assert two.lab.ping(HOSTED, computer)
        assert [line for line in packets if f"IP {internal} > {HOSTED}: ICMP echo request" in line]


def rekey_all(two: TwoTunnels) -> None:
    """Rekey each CHILD_SA, and wait until its successor is the only one."""
    before = {name: installed(two, name) for name in ("ctx1", "ctx2")}
    for child in chain.from_iterable(before.values()):
        two.swanctl("--rekey", "--child", child.name)
    for name, children in before.items():
        oldest = max(children).unique_id

        def is_done(name: str = name, number: int = len(children), oldest: int = oldest) -> bool:
            now = installed(two, name)
            return len(now) == number and min(now).unique_id > oldest

        wait_for(is_done, 20)


@contextmanager
def wires(two: TwoTunnels) -> Iterator[list[str]]:
    """Capture what the gateway and both devices send on the public network."""
    lines: list[str] = []
    with ExitStack() as stack:
        captures = [
            stack.enter_context(sent(two.lab, host)) for host in (CONCENTRATOR, PEER, PEER2)
        ]
        yield lines
    for captured in captures:
        lines += [line for line in captured if " IP " in line]


@pytest.mark.parametrize(("connection", "internal"), [("ctx1", FIRST), ("ctx2", SECOND)])
def test_each_packet_and_byte_is_counted_once_in_each_direction(two, connection, internal):
    pings = ("-n", "-q", "-c", "5", "-i", "0.1", "-s", "100")
    for host, target in ((SERVER, internal), (COMPUTERS[internal], HOSTED)):
        before = counts(two, connection)

        assert "5 received" in two.lab.on(host, "ping", *pings, target).stdout

        # IP and ICMP headers have 28 bytes.
        added = [now - then for now, then in zip(counts(two, connection), before, strict=True)]
        assert added == [5 * 128, 5, 5 * 128, 5]


def test_two_hosted_subnets_are_two_children_of_ikev1_and_one_of_ikev2(two: TwoTunnels):
    kept, subnets = dict(two.specs), tuple(map(IPv4Network, ("10.2.0.0/24", "10.4.0.0/24")))
    two.specs = {number: replace(spec, hosted_subnets=subnets) for number, spec in kept.items()}
    more = (
        "        children {",
        "        children {\n            more {\n                local_ts = 192.168.1.0/24\n"
        "                remote_ts = 10.4.0.0/24\n"
        "                esp_proposals = aes256-sha256-modp2048\n            }",
    )
    wide = ("remote_ts = 10.2.0.0/24", "remote_ts = 10.2.0.0/24, 10.4.0.0/24")
    try:
        with devices(two, more, wide):
            two.converge()
            for is_rekeyed in (False, True):
                assert [len(installed(two, name)) for name in ("ctx1", "ctx2")] == [2, 1]
                for internal, computer in COMPUTERS.items():
                    for address in (HOSTED, "10.4.0.10"):
                        assert two.lab.ping(internal, SERVER, "-I", address)
                        assert two.lab.ping(address, computer)
                if not is_rekeyed:
                    rekey_all(two)
    finally:
        two.specs = kept
    two.converge()


@pytest.mark.parametrize("ttl", [1, 2], ids=["the gateway", "the customer's device"])
@pytest.mark.parametrize("internal", [FIRST, SECOND])
def test_an_error_to_a_server_comes_from_the_address_that_it_knows(two, internal, ttl):
    ping = two.lab.on(SERVER, "ping", "-n", "-c", "1", "-t", str(ttl), "-W", "2", internal).stdout

    assert f"From {internal} icmp_seq=1 Time to live exceeded" in ping


def test_no_packet_leaves_in_the_clear_during_rekeys_and_terminations(two: TwoTunnels):
    flood = ("ping", "-n", "-q", "-i", "0.02")
    with wires(two) as packets:
        pings = [
            two.start(host, *flood, target)
            for internal, computer in COMPUTERS.items()
            for host, target in ((SERVER, internal), (computer, HOSTED))
        ]
        try:
            for _ in range(3):
                for name in ("ctx1", "ctx2"):
                    rekey(two, name)
            for name in ("ctx1", "ctx2"):
                two.swanctl("--rekey", "--ike", name)
                two.swanctl("--terminate", "--child", newest_child(two, name).name)
                two.swanctl("--terminate", "--ike", name, "--force")
            time.sleep(0.5)
            two.converge()
            assert_both_directions_carry(two)
        finally:
            for ping in pings:
                ping.kill()
                ping.wait()

    assert len([line for line in packets if "ESP(spi=" in line]) > 300
    others = [line for line in packets if "ESP(spi=" not in line and "isakmp" not in line]
    assert others == []


def test_esp_in_udp_carries_both_directions_and_a_rekey(two: TwoTunnels):
    """The gateway sees a NAT before the device, as `encap` makes charon announce one."""
    encap = ("    customer {", "    customer {\n        encap = yes")
    with devices(two, encap, encap):
        two.converge()
        states = two.lab.on(CONCENTRATOR, "ip", "xfrm", "state").stdout
        assert states.count("encap type espinudp") == 4
        with wires(two) as packets:
            assert_both_directions_carry(two)
            for name in ("ctx1", "ctx2"):
                rekey(two, name)
            assert_both_directions_carry(two)

    assert len([line for line in packets if "UDP-encap: ESP" in line]) >= 16
    assert [line for line in packets if "UDP-encap: " not in line and ".4500 > " not in line] == []
    two.converge()
    assert_both_directions_carry(two)


def test_a_strict_reverse_path_filter_passes_both_directions(two: TwoTunnels):
    names = [f"net.ipv4.conf.{name}.rp_filter" for name in ("all", "public", "hosted", "hosted2")]
    before = two.lab.on(CONCENTRATOR, "sysctl", "-n", *names).stdout.split()
    route = ("10.1.0.4/30", "via", "10.4.0.1", "dev", "hosted2", "src", HOSTED)
    two.lab.on(CONCENTRATOR, "sysctl", "-w", *(f"{name}=1" for name in names))
    try:
        assert_both_directions_carry(two)
        two.lab.on(SERVER, "ip", "route", "add", *route)
        assert not two.lab.ping(FIRST), "the filter refuses a server on another link"
    finally:
        two.lab.on(SERVER, "ip", "route", "del", *route)
        values = zip(names, before, strict=True)
        two.lab.on(CONCENTRATOR, "sysctl", "-w", *(f"{name}={value}" for name, value in values))


@pytest.mark.parametrize(
    ("options", "counter"),
    [({"mark": 0}, "between_tunnels"), ({}, "outside_tunnels")],
    ids=["children without marks", "children with marks"],
)
def test_a_customers_packet_for_another_customers_network_is_dropped_and_counted(
    two: TwoTunnels, options: dict[str, int], counter: str
):
    """The selectors of both tunnels allow it, as those of no tunnel of the portal do."""
    first, second = IPv4Network("192.168.1.0/24"), IPv4Network("192.168.2.0/24")
    kept = dict(two.specs)
    two.specs[1] = replace(kept[1], hosted_subnets=(second,))
    two.specs[2] = replace(
        kept[2], hosted_subnets=(first,), remote_subnets=(second,), translations=()
    )
    to_second = ("remote_ts = 10.2.0.0/24", f"remote_ts = {second}")
    of_second = (
        f"local_ts = {first}\n                remote_ts = 10.2.0.0/24",
        f"local_ts = {second}\n                remote_ts = {first}",
    )
    try:
        with devices(two, to_second, of_second):
            two.converge(**options)
            dropped, sealed = two.counter(counter), counts(two, "ctx2")

            with wires(two) as packets:
                assert not two.lab.ping("192.168.2.15", CUSTOMER)

            assert two.counter(counter) == dropped + 1
            assert counts(two, "ctx2") == sealed
            assert counts(two, "ctx1")[1] > 0, "the gateway decrypted the packet"
            assert [line for line in packets if "ICMP" in line] == []
    finally:
        two.specs = kept
    two.converge()


# The last test: it stops the gateway's charon.
def test_a_charon_that_is_stopped_leaves_no_state_and_no_policy(two: TwoTunnels):
    assert_both_directions_carry(two)
    dropped = two.counter("outside_tunnels")

    two.lab.concentrator.stop()

    for kind in ("state", "policy"):
        assert two.lab.on(CONCENTRATOR, "ip", "xfrm", kind).stdout == ""
    with wires(two) as packets:
        assert not two.lab.ping(FIRST)
        assert not two.lab.ping(SECOND)
    assert [line for line in packets if "ICMP" in line] == []
    assert two.counter("outside_tunnels") == dropped + 2
