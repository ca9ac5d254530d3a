"""Two concentrators side by side: a tunnel moves between them, and neither waits for the other."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

NAMES = {"concentrator": "hou02-vpn01", "concentrator2": "hou02-vpn02"}
GATEWAYS = {"concentrator": "10.2.0.1", "concentrator2": "10.2.0.2"}

# The customer's device protects its second network too.
MORE = """        children {
            more {
                local_ts = 192.168.20.0/24
                remote_ts = 10.2.0.0/24
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
            }"""
# Everything that the example's tunnel has, for one that was ordered.
FILL_IN = """
(nat,) = ordered.subnets.all()
for name in ("remote_peer", "phase_one_encryption", "phase_one_authentication", "phase_one_group",
        "phase_two_encryption", "phase_two_authentication", "phase_two_group"):
    services.edit(ordered, name, getattr(tunnel, name), user)
services.set_preshared_key(ordered, KEY, user)
services.add_remote_subnet(ordered, IPv4Network("192.168.20.0/24"), user)
ordered.subnets.add(Subnet.objects.get(network="10.2.0.0/24"))
row = services.TranslationRow(nat.network[1], IPv4Address("192.168.20.15"), "web")
services.set_translations(ordered, [row], user)
"""
# Applies a tunnel, waits for the outcome, and tells it with the seconds that it took.
APPLY = """
import time
began = time.monotonic()
revision = services.apply(Tunnel.objects.get(name=NAME), user)
while revision.unfinished:
    time.sleep(0.01)
    revision.refresh_from_db()
"""
TELL = """
say([revision.outcome, time.monotonic() - began])
"""


@pytest.fixture(scope="module")
def two() -> Iterator[RunningPortal]:
    """Both topologies' hosts, with the example applied and answering through the first."""
    running = RunningPortal("two", "--port", "0", "--concentrators", "2")
    try:
        running.start()
        running.fill_in()
        device = running.state / "lab" / "peer" / "swanctl.conf"
        device.write_text(device.read_text().replace("        children {", MORE, 1))
        swanctl(running, "peer", "--load-all", "--noprompt", "--file", str(device))
        running.apply(translate())
        wait_for(running.ping, 10)
        yield running
    finally:
        running.stop()
    assert not list(Path("/run/netns").glob(f"{running.prefix}-*"))
    assert not running.processes("celery") + running.processes("charon")


@pytest.fixture(scope="module")
def ordered(two: RunningPortal) -> str:
    """A tunnel that was ordered, filled in and applied; the address that its customer has here."""
    ordering = (
        'ordered = services.order(tunnel.account, Datacenter.objects.get(name="hou02"), user)'
    )
    two.do(f"{ordering}\n{FILL_IN}", KEY=two.device_key())
    assert two.do(APPLY + TELL, NAME="ipsec002")[0] == "live"
    return "10.1.254.1"


def swanctl(portal: RunningPortal, host: str, *arguments: str) -> str:
    uri = f"unix://{portal.state}/lab/{host}/charon.vici"
    return portal.run("swanctl", *arguments, "--uri", uri, check=True).stdout


def holds(portal: RunningPortal, host: str) -> list[str]:
    """What a concentrator has of the example: connections, associations, translations."""
    held = swanctl(portal, host, "--list-conns") + swanctl(portal, host, "--list-sas")
    for name in ("inbound", "outbound"):
        held += portal.on(host, "nft", "list", "map", "ip", "vpnportal", name).stdout
    return re.findall(r"^ctx1\b|10\.1\.255\.92|192\.168\.10\.15", held, re.M)


def route(portal: RunningPortal, host: str) -> list[str]:
    """As the provider's routing would, once the tunnel has moved."""
    command = ["ip", "route", "replace", "10.1.255.92/30", "via", GATEWAYS[host]]
    return ["ip", "netns", "exec", f"{portal.prefix}-server", *command]


def move(portal: RunningPortal, host: str) -> list:
    """Move the example's draft, apply it, and change the route when it is live."""
    moving = "services.move(tunnel, Concentrator.objects.get(name=PLACE), user)\n"
    routing = f"import subprocess; subprocess.run({route(portal, host)}, check=True)\n"
    return portal.do(moving + APPLY + routing + TELL, PLACE=NAMES[host], NAME="ipsec001")


def leaving(portal: RunningPortal) -> list[str]:
    return portal.do("say(services.state_of(tunnel).releasing_from)")


@pytest.fixture
def at_first(two: RunningPortal, ordered: str) -> RunningPortal:
    """The example's tunnel runs through the first concentrator only, an ordered one beside it."""
    if not holds(two, "concentrator"):
        move(two, "concentrator")
    wait_for(lambda: two.ping() and not leaving(two), 30)
    return two


@contextlib.contextmanager
def away(portal: RunningPortal, host: str) -> Iterator[None]:
    """A concentrator whose charon does not answer and whose worker was killed."""
    charon = portal.process("charon", host=host)
    os.kill(charon, signal.SIGSTOP)
    try:
        for worker in portal.processes("worker", host=host):
            os.kill(worker, signal.SIGKILL)
        yield
    finally:
        os.kill(charon, signal.SIGCONT)


@contextlib.contextmanager
def pinging(portal: RunningPortal, seconds: list[float]) -> Iterator[None]:
    """Asks a hundred times a second meanwhile; `seconds` gets the longest time without answer."""
    ask = ["ping", "-n", "-D", "-i", "0.01", "10.1.255.92"]
    where = ["ip", "netns", "exec", f"{portal.prefix}-server"]
    with subprocess.Popen([*where, *ask], stdout=subprocess.PIPE, text=True) as asking:
        try:
            yield
        finally:
            asking.send_signal(signal.SIGINT)
            said, _ = asking.communicate()
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", said)]
    seconds.append(max(after - before for before, after in pairwise(answered)))


def test_a_tunnel_moves_and_answers_again_and_the_first_one_keeps_nothing_of_it(at_first):
    assert holds(at_first, "concentrator")
    silent: list[float] = []

    with pinging(at_first, silent):
        outcome, _ = move(at_first, "concentrator2")
        wait_for(lambda: not leaving(at_first), 20)
        wait_for(at_first.ping, 10)

    assert outcome == "live"
    assert holds(at_first, "concentrator") == []
    assert holds(at_first, "concentrator2")
    print(f"without an answer for {silent[0]:.2f} s")
    assert silent[0] < 5


def test_an_ordered_tunnel_comes_up_with_what_it_was_given(two, ordered):
    assert wait_for(lambda: two.ping(ordered), 10) < 10
    given = two.do(
        'ordered = Tunnel.objects.get(name="ipsec002")\n'
        "say([ordered.hosted_peer, ordered.concentrator.name])"
    )
    assert given == ["203.0.113.33", "hou02-vpn02"]


@pytest.mark.parametrize(
    ("gone", "tunnel"), [("concentrator", "ipsec002"), ("concentrator2", "ipsec001")]
)
def test_one_that_is_away_delays_neither_the_others_applies_nor_the_pages(
    at_first, ordered, gone, tunnel
):
    edit = f"""
other = Tunnel.objects.get(name={tunnel!r})
keylife = 3_000 if other.phase_two_keylife != 3_000 else 3_100
services.edit(other, "phase_two_keylife", keylife, user)
"""
    target = {"ipsec001": "10.1.255.92", "ipsec002": ordered}[tunnel]
    wait_for(lambda: at_first.ping(target), 10)

    with away(at_first, gone):
        outcome, seconds = at_first.do(edit + APPLY + TELL, NAME=tunnel)
        urllib.request.urlopen(at_first.printed("URL"), timeout=3).close()  # noqa: S310 our own
        assert at_first.ping(target)

    print(f"live after {seconds:.2f} s")
    assert outcome == "live"
    assert seconds < 5


def test_a_tunnel_leaves_one_that_is_away_which_lets_go_when_it_is_back(at_first):
    with away(at_first, "concentrator"):
        outcome, seconds = move(at_first, "concentrator2")
        assert (outcome, leaving(at_first)) == ("live", ["hou02-vpn01"])
        assert seconds < 5
        waited = wait_for(at_first.ping, 60)

    print(f"answers again after {waited:.1f} s")
    wait_for(lambda: not leaving(at_first), 60)
    assert holds(at_first, "concentrator") == []
    assert at_first.ping()
