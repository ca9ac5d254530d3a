"""States and policies that a killed charon left in the kernel, seen by pings through `kill -9`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import vici

from lab.laboratory import Laboratory
from tests.running_portal import PRELUDE, PYTHON, RunningPortal, wait_for
from tests.system.test_stale_sas import has_single_child

pytestmark = pytest.mark.kernel_esp

# From the provider's side, and from the customer's.
WAYS = {"server": "10.1.255.92", "customer": "10.2.0.10"}
NO_KEY = f"0x{'0' * 64}"
# States of the example and their SPIs, but those that the test adds; policies and their directions.
STATE = re.compile(r"src 203\.0\.113\.[12] dst 203\.0\.113\.[12]\n\s+proto esp spi (0x(?!c0de)\w+)")
POLICY = re.compile(r"src (?:10\.2\.0\.0|192\.168\.10\.0)/24 .*\n\s+dir (\w+)")
MANUAL = ("enc", "cbc(aes)", NO_KEY, "auth", "hmac(sha256)", NO_KEY)


class Pings:
    """Pings of both ways, 50 a second; `sent` and `answered` are numbers after `stop`."""

    def __init__(self, portal: RunningPortal) -> None:
        self._processes = [
            subprocess.Popen(
                ("ip", "netns", "exec", f"{portal.prefix}-{host}", "ping", "-Dni", "0.02", target),
                stdout=subprocess.PIPE,
                text=True,
            )
            for host, target in WAYS.items()
        ]

    def stop(self) -> None:
        self.lost: list[int] = []
        self.last_answer = 0.0
        for process in self._processes:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=10)
            answers = [float(at) for at in re.findall(r"^\[([\d.]+)\] 64 bytes", output, re.M)]
            self.last_answer = max(self.last_answer, *answers, 0.0)
            (sent,) = re.findall(r"(\d+) packets transmitted", output)
            # The last ping may be without an answer when ping ends.
            self.lost.append(max(0, int(sent) - len(answers) - 1))


@contextmanager
def pings(portal: RunningPortal) -> Iterator[Pings]:
    """Ping both ways during the block."""
    running = Pings(portal)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes during the block."""
    listed = list(pids)
    for pid in listed:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in listed:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def dead_charon(portal: RunningPortal) -> Iterator[None]:
    """Kill the gateway's charon, which returns after the block."""
    charon = portal.process("charon", "concentrator")
    keeper = int(Path(f"/proc/{charon}/stat").read_text().rpartition(")")[2].split()[1])
    with stopped([keeper]):
        os.kill(charon, signal.SIGKILL)
        wait_for(lambda: not gateway_answers(portal), 5)
        yield


def kill_charon(portal: RunningPortal) -> float:
    """Kill the gateway's charon, wait until it is back, and return the time of that."""
    with dead_charon(portal):
        pass
    return wait_until_back(portal)


def wait_until_back(portal: RunningPortal) -> float:
    wait_for(lambda: gateway_answers(portal), 20)
    return time.time()


def gateway_answers(portal: RunningPortal) -> bool:
    return Laboratory(portal.prefix, portal.state / "lab").concentrator.answers()


def carries(portal: RunningPortal) -> bool:
    """Return True if a ping of either way is answered."""
    return any(portal.ping(target, host) for host, target in WAYS.items())


def kernel(portal: RunningPortal) -> tuple[list[str], list[str]]:
    """Return the SPIs of the example's states with keys, and the directions of its policies."""
    states, policies = xfrm(portal)
    keyed = (entry for entry in re.split(r"\n(?=src )", states) if "\tenc " in entry)
    found = (STATE.match(entry) for entry in keyed)
    return [match[1] for match in found if match], POLICY.findall(policies)


def xfrm(portal: RunningPortal) -> tuple[str, str]:
    """Return the states and the policies in the gateway's kernel, as text."""
    states = portal.on("concentrator", "ip", "xfrm", "state")
    policies = portal.on("concentrator", "ip", "xfrm", "policy")
    return states.stdout, policies.stdout


def disconnect(portal: RunningPortal) -> None:
    """Disconnect the example, and wait until the worker has done it."""
    portal.do("""
import time
services.disconnect(tunnel, user)
command = tunnel.commands.first()
while command.done_at is None:
    time.sleep(0.05)
    command.refresh_from_db()
""")


def connect(portal: RunningPortal) -> None:
    """Connect the example, and wait until it answers."""
    portal.do("services.connect(tunnel, user)")
    wait_for(portal.ping, 30)


def converge_all(portal: RunningPortal) -> None:
    """Run a full converge of the concentrator."""
    code = f"from vpnportal.reconciler import reconcile{PRELUDE}"
    code += "reconcile.converge(tunnel.concentrator_id)"
    done = portal.on("concentrator", PYTHON, "manage.py", "shell", "-v0", "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bridged(live: RunningPortal) -> Iterator[RunningPortal]:
    """Yield the example with a silent peer, carried by the states that a killed charon left."""
    with stopped([live.process("charon", "peer")]):
        kill_charon(live)
        assert all(live.ping(target, host) for host, target in WAYS.items())
        yield live
    wait_for(live.ping, 30)


def test_a_tunnel_is_carried_on_while_it_comes_up_and_its_old_states_end(live: RunningPortal):
    old, _ = kernel(live)

    with pings(live) as through:
        kill_charon(live)
        wait_for(lambda: has_single_child(live), 20)
        converge_all(live)

    print(f"lost {through.lost} pings of 20 ms each way")
    assert max(through.lost) <= 50
    spis, directions = kernel(live)
    assert not set(old) & set(spis)
    assert (len(spis), sorted(directions)) == (2, ["fwd", "in", "out"])


def test_a_tunnel_that_is_disconnected_while_charon_is_dead_ends_without_it(live: RunningPortal):
    try:
        with dead_charon(live):
            assert carries(live)
            live.do("services.disconnect(tunnel, user)")
            wait_for(lambda: not carries(live), 10)
        wait_until_back(live)
        assert not carries(live)
        assert kernel(live) == ([], [])
    finally:
        connect(live)


def test_a_tunnel_that_was_disconnected_ends_when_charon_returns(live: RunningPortal):
    try:
        with pings(live) as through, ExitStack() as until_back:
            until_back.enter_context(stopped(live.processes("celery", "concentrator")))
            with dead_charon(live):
                live.do("services.disconnect(tunnel, user)")
                assert carries(live)
            back_at = wait_until_back(live)
            until_back.close()
            wait_for(lambda: not carries(live), 10)
        print(f"the last answer came {through.last_answer - back_at:.2f} s after charon's return")
        assert kernel(live) == ([], [])
    finally:
        connect(live)


def test_a_tunnel_that_is_disconnected_before_it_is_up_again_ends_at_once(bridged: RunningPortal):
    try:
        disconnect(bridged)
        assert not carries(bridged)
        assert kernel(bridged) == ([], [])
    finally:
        bridged.do("services.connect(tunnel, user)")


def test_a_tunnel_that_does_not_come_up_again_is_carried_on_for_less_than_a_minute(
    bridged: RunningPortal,
):
    took = wait_for(lambda: not carries(bridged), 75)

    print(f"the tunnel was carried on for {took:.0f} s")
    repairs = bridged.do('say(list(DriftRepair.objects.values_list("text", flat=True)))')
    assert "Removed a kernel state that charon does not know" in repairs


def foreign(portal: RunningPortal) -> list[str]:
    """Return the kernel's states and policies that are not of the example, as text."""
    entries = re.split(r"\n(?=src )", "\n".join(xfrm(portal)))
    return sorted(
        re.sub(r"\n\s+(anti-replay|auth|enc|lastused|replay)[^\n]*", "", entry).strip()
        for entry in entries
        if re.search("spi 0xc0de000|198.51.100|203.0.113.18|src 10.77", entry)
    )


def bring_up_foreign_connection(portal: RunningPortal) -> None:
    """Establish a connection of another program between the charons of gateway and peer."""
    gateway, peer = "203.0.113.18", "203.0.113.2"
    networks = "10.77.1.0/24", "10.78.1.0/24"
    for host, (here, there), (near, far) in (
        ("peer", (peer, gateway), (networks[1], networks[0])),
        ("concentrator", (gateway, peer), networks),
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{portal.state}/lab/{host}/charon.vici")
            charon = vici.Session(connection)
            child = {"local_ts": [near], "remote_ts": [far], "esp_proposals": ["aes256-sha256"]}
            settings = {
                "version": "2",
                "local_addrs": [here],
                "remote_addrs": [there],
                "proposals": ["aes256-sha256-modp2048"],
                "local": {"auth": "psk", "id": f"other-{here}"},
                "remote": {"auth": "psk", "id": f"other-{there}"},
                "children": {"other": child},
            }
            owners = [f"other-{here}", f"other-{there}"]
            charon.load_conn({"other": settings})
            charon.load_shared({"id": "other", "type": "IKE", "data": "a key", "owners": owners})
            if host == "concentrator":
                list(charon.initiate({"child": "other", "timeout": "10000"}))


def test_ipsec_of_other_programs_survives(live: RunningPortal):
    peers = ("src", "203.0.113.1", "dst", "203.0.113.2")
    others = ("src", "198.51.100.1", "dst", "198.51.100.2")
    marked, aged = ("mark", "0x4d", "mask", "0xffff"), ("limit", "time-hard", "3600")
    for number, (ends, more) in enumerate(
        [(peers, ()), (peers, aged), (peers, (*marked, *aged)), (others, aged)]
    ):
        spi = ("proto", "esp", "spi", f"0xc0de000{number}", "reqid", "77", "mode", "tunnel")
        added = live.on("concentrator", "ip", "xfrm", "state", "add", *ends, *spi, *MANUAL, *more)
        assert added.returncode == 0, added.stderr
    networks = ("src", "10.77.0.0/24", "dst", "10.78.0.0/24", "dir", "out")
    template = ("tmpl", *peers, "proto", "esp", "mode", "tunnel", "reqid", "77")
    for mark in ((), marked):
        added = live.on("concentrator", "ip", "xfrm", "policy", "add", *networks, *mark, *template)
        assert added.returncode == 0, added.stderr
    bring_up_foreign_connection(live)
    before = foreign(live)
    # Four states and two policies by `ip xfrm`, two states and three policies by charon.
    assert len(before) == 11, before

    converge_all(live)
    assert foreign(live) == before

    kill_charon(live)
    disconnect(live)
    converge_all(live)
    wait_for(lambda: kernel(live) == ([], []), 10)
    assert foreign(live) == before

    connect(live)
    converge_all(live)
    assert foreign(live) == before
