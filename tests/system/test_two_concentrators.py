"""Two concentrators: tunnels move between them, and a failure of one does not delay the other."""

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

from tests.running_portal import PATIENCE, RunningPortal, wait_for
from tests.system.conftest import translate

NAMES = {"concentrator": "hou02-vpn01", "concentrator2": "hou02-vpn02"}
GATEWAYS = {"concentrator": "10.2.0.1", "concentrator2": "10.2.0.2"}

# A child of the customer's device for its second network.
SECOND_CHILD = """        children {
            more {
                local_ts = 192.168.20.0/24
                remote_ts = 10.2.0.0/24
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
            }"""
# Gives an ordered tunnel the settings of the example.
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
# Applies a tunnel and waits for its outcome; OUTCOME returns it with the seconds since the start.
APPLY = """
import time
started_at = time.monotonic()
revision = services.apply(Tunnel.objects.get(name=NAME), user)
while revision.unfinished:
    time.sleep(0.01)
    revision.refresh_from_db()
"""
OUTCOME = """
say([revision.outcome, time.monotonic() - started_at])
"""


@pytest.fixture(scope="module")
def two() -> Iterator[RunningPortal]:
    """Yield the hosts of two concentrators; the example answers through the first concentrator."""
    running = RunningPortal("two", "--port", "0", "--concentrators", "2")
    try:
        running.start()
        running.fill_in()
        file = running.state / "lab" / "peer" / "swanctl.conf"
        file.write_text(file.read_text().replace("        children {", SECOND_CHILD, 1))
        swanctl(running, "peer", "--load-all", "--noprompt", "--file", str(file))
        running.apply(translate())
        wait_for(running.ping, 10)
        yield running
    finally:
        running.stop()
    assert not list(Path("/run/netns").glob(f"{running.prefix}-*"))
    assert not running.processes("celery") + running.processes("charon")


@pytest.fixture(scope="module")
def ordered(two: RunningPortal) -> str:
    """Return the translated address of a tunnel that was ordered, filled in and applied."""
    ordering = (
        'ordered = services.order(tunnel.account, Datacenter.objects.get(name="hou02"), user)'
    )
    two.do(f"{ordering}\n{FILL_IN}", KEY=two.device_key())
    assert two.do(APPLY + OUTCOME, NAME="ipsec002")[0] == "live"
    return "10.1.254.1"


def swanctl(portal: RunningPortal, host: str, *arguments: str) -> str:
    uri = f"unix://{portal.state}/lab/{host}/charon.vici"
    return portal.run("swanctl", *arguments, "--uri", uri, check=True).stdout


def configured(portal: RunningPortal, host: str) -> list[str]:
    """Return the names and addresses of the example in the state of a concentrator."""
    listed = swanctl(portal, host, "--list-conns") + swanctl(portal, host, "--list-sas")
    for name in ("inbound", "outbound_by_mark"):
        listed += portal.on(host, "nft", "list", "map", "ip", "vpnportal", name).stdout
    return re.findall(r"^ctx1\b|10\.1\.255\.92|192\.168\.10\.15", listed, re.M)


def route_command(portal: RunningPortal, host: str) -> list[str]:
    """Return the command that routes the translated block through a concentrator."""
    command = ["ip", "route", "replace", "10.1.255.92/30", "via", GATEWAYS[host]]
    return ["ip", "netns", "exec", f"{portal.prefix}-server", *command]


def move(portal: RunningPortal, host: str) -> list:
    """Move the example, apply it, change the route, and return outcome and seconds."""
    moving = "services.move(tunnel, Concentrator.objects.get(name=PLACE), user)\n"
    routing = f"import subprocess; subprocess.run({route_command(portal, host)}, check=True)\n"
    return portal.do(moving + APPLY + routing + OUTCOME, PLACE=NAMES[host], NAME="ipsec001")


def releasing_from(portal: RunningPortal) -> list[str]:
    return portal.do("say(services.state_of(tunnel).releasing_from)")


@pytest.fixture
def at_first(two: RunningPortal, ordered: str) -> RunningPortal:
    """Return with the example up at the first concentrator only."""
    if not configured(two, "concentrator"):
        move(two, "concentrator")
    wait_for(lambda: two.ping() and not releasing_from(two), 30)
    return two


@contextlib.contextmanager
def unreachable(portal: RunningPortal, host: str) -> Iterator[None]:
    """Stop the charon of a concentrator during the block, and kill its worker."""
    charon = portal.process("charon", host=host)
    os.kill(charon, signal.SIGSTOP)
    try:
        for worker in portal.processes("worker", host=host):
            os.kill(worker, signal.SIGKILL)
        yield
    finally:
        os.kill(charon, signal.SIGCONT)


@contextlib.contextmanager
def longest_gap(portal: RunningPortal, seconds: list[float]) -> Iterator[None]:
    """Ping 100 times a second during the block; append the longest time without an answer."""
    ping = ["ping", "-n", "-D", "-i", "0.01", "10.1.255.92"]
    on_server = ["ip", "netns", "exec", f"{portal.prefix}-server"]
    with subprocess.Popen([*on_server, *ping], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", output)]
    seconds.append(max(after - before for before, after in pairwise(answered)))


def test_a_tunnel_moves_and_the_first_concentrator_removes_all_of_its_configuration(at_first):
    assert configured(at_first, "concentrator")
    gaps: list[float] = []

    with longest_gap(at_first, gaps):
        outcome, _ = move(at_first, "concentrator2")
        wait_for(lambda: not releasing_from(at_first), 20)
        wait_for(at_first.ping, 10)

    assert outcome == "live"
    assert configured(at_first, "concentrator") == []
    assert configured(at_first, "concentrator2")
    print(f"without an answer for {gaps[0]:.2f} s")
    assert gaps[0] < 5


def test_an_ordered_tunnel_comes_up_with_its_allocated_addresses(two, ordered):
    assert wait_for(lambda: two.ping(ordered), 10) < 10
    allocated = two.do(
        'ordered = Tunnel.objects.get(name="ipsec002")\n'
        "say([ordered.hosted_peer, ordered.concentrator.name])"
    )
    assert allocated == ["203.0.113.33", "hou02-vpn02"]


@pytest.mark.parametrize(
    ("failed", "tunnel"), [("concentrator", "ipsec002"), ("concentrator2", "ipsec001")]
)
def test_an_unreachable_concentrator_delays_neither_applies_at_the_other_nor_pages(
    at_first, ordered, failed, tunnel
):
    edit = f"""
other = Tunnel.objects.get(name={tunnel!r})
keylife = 3_000 if other.phase_two_keylife != 3_000 else 3_100
services.edit(other, "phase_two_keylife", keylife, user)
"""
    target = {"ipsec001": "10.1.255.92", "ipsec002": ordered}[tunnel]
    wait_for(lambda: at_first.ping(target), 10)

    with unreachable(at_first, failed):
        outcome, seconds = at_first.do(edit + APPLY + OUTCOME, NAME=tunnel)
        urllib.request.urlopen(at_first.printed("URL"), timeout=3).close()  # noqa: S310 our own
        assert at_first.ping(target)

    print(f"live after {seconds:.2f} s")
    assert outcome == "live"
    assert seconds < 15 * PATIENCE


def test_an_unreachable_concentrator_releases_a_moved_tunnel_when_it_answers_again(at_first):
    with unreachable(at_first, "concentrator"):
        outcome, seconds = move(at_first, "concentrator2")
        assert (outcome, releasing_from(at_first)) == ("live", ["hou02-vpn01"])
        assert seconds < 15 * PATIENCE
        waited = wait_for(at_first.ping, 60)

    print(f"answers again after {waited:.1f} s")
    wait_for(lambda: not releasing_from(at_first), 60)
    assert configured(at_first, "concentrator") == []
    assert at_first.ping()
