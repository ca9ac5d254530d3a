"""Routes towards tunnels: BIRD tells a router which concentrator serves a tunnel."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lab.dataplane import KERNEL, USERLAND
from lab.ike_daemons import Charon
from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

STATIC_NAT, ADDRESS, UNUSED = "10.1.255.92/30", "10.1.255.92", "10.1.255.93"
NAMES = {"concentrator": "hou02-vpn01", "concentrator2": "hou02-vpn02"}
GATEWAYS = {"concentrator": "10.9.0.1", "concentrator2": "10.9.0.2"}
# Packets that a gateway sends on its public side, and that IPsec did not encrypt.
IN_THE_CLEAR = "ip and not esp and not udp port 500 and not udp port 4500"
MOVE = """
import time
services.move(tunnel, Concentrator.objects.get(name=PLACE), user)
revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), user)
while revision.unfinished:
    time.sleep(0.01)
    revision.refresh_from_db()
say(revision.outcome)
"""


@pytest.fixture(scope="module")
def routed() -> Iterator[RunningPortal]:
    """Yield a portal with two concentrators and a router; the example is at the first."""
    running = RunningPortal("rt", "--port", "0", "--concentrators", "2", "--router")
    try:
        running.start()
        running.fill_in()
        running.apply(translate())
        wait_for(running.ping, 15)
        yield running
    finally:
        running.stop()
    assert not list(Path("/run/netns").glob(f"{running.prefix}-*"))


def next_hop(portal: RunningPortal, route: str = STATIC_NAT) -> str:
    """Return the gateway to which the router sends packets to the route; "" without a route."""
    match = re.search(r" via (\S+)", portal.on("router", "ip", "route", "show", route).stdout)
    return match[1] if match else ""


def serving(portal: RunningPortal) -> str:
    """Return the concentrator that the router has learnt."""
    wait_for(lambda: next_hop(portal) in GATEWAYS.values(), 60)
    return next(host for host, gateway in GATEWAYS.items() if gateway == next_hop(portal))


@contextlib.contextmanager
def lines_of(portal: RunningPortal, host: str, *command: str) -> Iterator[list[str]]:
    """Run a command on a host during the block; yield a list that gets its output after it."""
    argv = ["ip", "netns", "exec", f"{portal.prefix}-{host}", *command]
    lines: list[str] = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            if command[0] == "tcpdump":
                assert process.stderr is not None
                process.stderr.readline()
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
            lines += filter(None, output.splitlines())


@contextlib.contextmanager
def stopped(portal: RunningPortal, *words: str, host: str) -> Iterator[None]:
    """Stop processes of a concentrator during the block, so that nothing restarts them."""
    pids = [pid for word in words for pid in portal.processes(word, host=host)]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def charon_of(portal: RunningPortal, host: str) -> Charon:
    return Charon(portal.prefix, host, portal.state / "lab" / host)


def start(portal: RunningPortal, host: str) -> None:
    plane = (portal.state / "lab" / "dataplane").read_text()
    charon_of(portal, host).start(KERNEL if KERNEL.label in plane else USERLAND)


def test_the_router_learns_the_static_nat_subnet_and_nothing_else(routed):
    assert next_hop(routed) == GATEWAYS["concentrator"]

    learnt = routed.on("router", "ip", "route", "show", "proto", "bird").stdout
    assert re.findall(r"^(\S+) via", learnt, re.M) == [STATIC_NAT]
    answer = routed.on("server", "ping", "-n", "-c", "1", "-W", "2", UNUSED).stdout
    assert "From 10.9.0.1 icmp_seq=1 Destination Host Unreachable" in answer


@pytest.mark.parametrize("target", ["concentrator2", "concentrator"])
def test_the_route_follows_a_moved_tunnel_without_an_operator(routed, target):
    assert serving(routed) != target
    ping = ("ping", "-n", "-D", "-i", "0.01", ADDRESS)
    captures = [("tcpdump", "-Q", "out", "-lnni", "public", IN_THE_CLEAR)]

    with contextlib.ExitStack() as stack:
        clear = [
            stack.enter_context(lines_of(routed, host, *capture))
            for host in GATEWAYS
            for capture in captures
        ]
        answers = stack.enter_context(lines_of(routed, "server", *ping))
        assert routed.do(MOVE, PLACE=NAMES[target]) == "live"
        wait_for(lambda: next_hop(routed) == GATEWAYS[target], 10)
        wait_for(routed.ping, 10)

    assert clear == [[], []]
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", "\n".join(answers))]
    gap = max(after - before for before, after in pairwise(answered))
    print(f"without an answer for {gap:.2f} s")
    assert gap < 5


def test_the_route_is_withdrawn_when_charon_is_gone_although_no_process_of_the_portal_runs(routed):
    host = serving(routed)
    with stopped(routed, "worker", "watch", host=host):
        charon_of(routed, host).stop()
        withdrawn = wait_for(lambda: not next_hop(routed), 30)
        assert not routed.ping()
        start(routed, host)

    announced = wait_for(lambda: next_hop(routed) == GATEWAYS[host], 30)
    wait_for(routed.ping, 30)
    print(f"withdrawn after {withdrawn:.1f} s, announced {announced:.1f} s after charon was back")


def test_a_disconnected_tunnel_is_not_announced(routed):
    serving(routed)
    routed.do("services.disconnect(tunnel, user)")
    wait_for(lambda: not next_hop(routed), 10)
    shown = routed.on("router", "ip", "route", "get", ADDRESS)
    assert shown.returncode != 0, "the router must not use another route"

    routed.do("services.connect(tunnel, user)")
    wait_for(lambda: bool(next_hop(routed)), 10)
    wait_for(routed.ping, 10)
