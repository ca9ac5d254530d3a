"""All tunnels of a gateway are negotiated once more, as after an upgrade that marks them.

The old CHILD_SAs have no mark and other names. Their policies stand beside the marked ones of
their successors until they end (docs/decisions/031).
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.icmp_echo import Echo, decode_reply, encode_request
from lab.many_peers import ManyPeers, enter_namespace
from lab.peers import HOSTED
from lab.topology import CONCENTRATOR, PEER, SERVER
from tests.desired_state import compile_specs
from tests.observation import converge, ignore, observe
from tests.running_portal import laboratory_prefix
from tests.system.test_many_tunnels import specification
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.planning.plan import make_plan
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.vici import pacing
from vpnportal.gateway.vici.initiator import Initiator

pytestmark = pytest.mark.kernel_esp

PREFIX = laboratory_prefix("r")
COUNT = 24
PING_SECONDS = 0.05
ONE_SECOND = 1 / PING_SECONDS
BUSY_SECONDS = 3
SERVER_ADDRESS = str(HOSTED[10])
IDENTIFIER = 1
UP_SECONDS = 60


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def many(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManyPeers]:
    with ManyPeers(PREFIX, tmp_path / "r", COUNT, ike_version=request.param).running() as many:
        yield many


@contextmanager
def pinging(many: ManyPeers) -> Iterator[Counter[str]]:
    """Ping through every tunnel from both sides.

    Once the block is left, the counter has the pings without an answer, by tunnel and origin.
    """
    with ExitStack() as sockets:
        flows = [
            Flow(f"{peer.number} {origin}", sockets.enter_context(icmp_socket(many, host, *ends)))
            for peer in many.peers
            for origin, host, ends in (
                ("from the server", SERVER, (SERVER_ADDRESS, str(peer.computer))),
                ("from the customer", PEER, (str(peer.computer), SERVER_ADDRESS)),
            )
        ]
        lost: Counter[str] = Counter()
        ended = threading.Event()
        thread = threading.Thread(target=ping_until, args=(flows, ended))
        thread.start()
        try:
            yield lost
        finally:
            ended.set()
            thread.join()
        lost.update({flow.name: flow.sent - len(flow.answered) for flow in flows})


@dataclass
class Flow:
    """Pings between two hosts: the number sent, and the sequence numbers answered."""

    name: str
    socket: socket.socket
    sent: int = 0
    answered: set[int] = field(default_factory=set)

    def ping(self) -> None:
        self.sent += 1
        self.socket.send(encode_request(Echo(IDENTIFIER, self.sent)))

    def read(self) -> None:
        with suppress(BlockingIOError):
            while True:
                if echo := decode_reply(self.socket.recv(2048)):
                    self.answered.add(echo.number)


@contextmanager
def icmp_socket(many: ManyPeers, host: str, source: str, target: str) -> Iterator[socket.socket]:
    """Yield a socket for ICMP of a host, which gets only what arrives from the target."""
    with enter_namespace(many.prefix, host):
        icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with icmp:
        icmp.setblocking(False)
        icmp.bind((source, 0))
        icmp.connect((target, 0))
        yield icmp


def ping_until(flows: list[Flow], ended: threading.Event) -> None:
    """Ping in all flows every PING_SECONDS until the end, and wait a second for late answers."""
    while not ended.wait(PING_SECONDS):
        for flow in flows:
            flow.ping()
            flow.read()
    time.sleep(1)
    for flow in flows:
        flow.read()


@contextmanager
def recorded_initiations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield a list that gets the number of half-open IKE_SAs at each initiation.

    An IKE_SA older than pacing.OPEN_SECONDS counts no more.
    """
    half_open: list[int] = []
    since: dict[str, float] = {}
    initiate, wait_established = Initiator.initiate, Initiator.wait_established

    def recorded_initiate(self: Initiator, connection: str, child: str) -> None:
        initiate(self, connection, child)
        now = time.monotonic()
        since[connection] = now
        half_open.append(sum(now - began_at < pacing.OPEN_SECONDS for began_at in since.values()))

    def recorded_wait(self: Initiator) -> Iterator[str]:
        for name in wait_established(self):
            since.pop(name, None)
            yield name

    with monkeypatch.context() as patched:
        patched.setattr(Initiator, "initiate", recorded_initiate)
        patched.setattr(Initiator, "wait_established", recorded_wait)
        yield half_open


def test_all_tunnels_are_negotiated_again_once_and_a_few_at_a_time(many, monkeypatch):
    gateway = GatewayDriver(str(many.concentrator.socket))
    specs = [specification(peer, many.ike_version) for peer in many.peers]
    with enter_namespace(many.prefix, CONCENTRATOR):
        converge(
            gateway, Desired.of(compile_tunnel(spec, b"old key") for spec in specs), UP_SECONDS
        )
    before = many.concentrator.log.stat().st_size

    with (
        pinging(many) as lost,
        recorded_initiations(monkeypatch) as half_open,
        enter_namespace(many.prefix, CONCENTRATOR),
    ):
        desired = compile_specs(specs, b"new key")
        observed = observe(gateway)
        plan = make_plan(desired, observed).without_initiation()
        gateway.apply(plan, observed.userland_esp, ignore)
        while starts := make_plan(desired, observe(gateway)).initiate:
            gateway.initiate(starts, ignore)
        # The worker is busy with other tunnels, so the old SAs stand beside the new ones.
        time.sleep(BUSY_SECONDS)
        converge(gateway, desired, UP_SECONDS)

    log = many.concentrator.log.read_text()[before:]
    assert Counter(re.findall(r"IKE_SA (ctx\d+)\[\d+\] established", log)) == {
        f"ctx{peer.number + 1}": 1 for peer in many.peers
    }
    # The peers are in one network.
    assert max(half_open) <= pacing.MAX_OPEN_PER_NETWORK
    assert max(lost.values()) <= ONE_SECOND
