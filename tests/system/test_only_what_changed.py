"""A change of a tunnel does not affect the 49 other tunnels of its concentrator."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab import namespaces
from lab.many_peers import ManyPeers, enter_namespace
from lab.peers import HOSTED
from lab.topology import CONCENTRATOR, PEER, SERVER
from tests.desired_state import compile_specs
from tests.observation import converge, observe
from tests.running_portal import laboratory_prefix, wait_for
from tests.system.test_many_tunnels import specification
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.planning.observed import CARRYING, IkeSa, Scope
from vpnportal.domain.planning.plan import Start
from vpnportal.domain.tunnel.spec import Translation, TunnelSpec
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.steps import Step

pytestmark = [pytest.mark.userland, pytest.mark.debian13]

PREFIX = laboratory_prefix("o")
COUNT, CHANGED = 50, 7
# The network that the device protects for the peer of the changed tunnel.
WHOLE = IPv4Network("10.64.7.0/24")


class Fifty:
    """A concentrator with fifty tunnels, converged as the worker does."""

    def __init__(self, many: ManyPeers) -> None:
        self.many = many
        self.gateway = GatewayDriver(str(many.concentrator.socket))
        self.specs = {peer.number: specification(peer, many.ike_version) for peer in many.peers}

    def converge(self) -> None:
        """Apply plans until an observation finds nothing to do, as the worker does."""
        with enter_namespace(self.many.prefix, CONCENTRATOR):
            converge(self.gateway, compile_specs(self.specs.values(), b"a key"), 30)

    def change(self, **changes) -> None:
        self.specs[CHANGED] = replace(self.specs[CHANGED], **changes)
        self.converge()

    def ike_sas(self, name: str = "") -> tuple[IkeSa, ...]:
        with enter_namespace(self.many.prefix, CONCENTRATOR):
            ike_sas = observe(self.gateway).ike_sas
        return tuple(sa for sa in ike_sas if name in ("", sa.connection))

    def identities(self) -> dict[str, set[tuple[str, ...]]]:
        """Return the unique ids of each IKE_SA and its CHILD_SAs, by connection."""
        return {
            sa.connection: {(sa.unique_id, *(child.unique_id for child in sa.children))}
            for sa in self.ike_sas()
        }


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def fifty(request, tmp_path_factory) -> Iterator[Fifty]:
    folder: Path = tmp_path_factory.mktemp("o")
    with ManyPeers(PREFIX, folder, COUNT, ike_version=request.param).running() as many:
        fifty = Fifty(many)
        fifty.converge()
        yield fifty


@contextmanager
def no_ping_lost(many: ManyPeers, numbers: Iterable[int]) -> Iterator[None]:
    """Ping these peers every 100 ms during the block, and require every answer."""
    targets = {n: str(many.peers[n].computer) for n in numbers}
    processes = {
        n: subprocess.Popen(
            namespaces.inside(many.prefix, SERVER, ["ping", "-n", "-q", "-i", "0.1", target]),
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, target in targets.items()
    }
    try:
        yield
    finally:
        for process in processes.values():
            process.send_signal(2)
        outputs = {n: process.communicate(timeout=10)[0] for n, process in processes.items()}
    missed = {}
    for n, text in outputs.items():
        sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", text)[0])
        # The last ping may be without an answer when ping ends.
        if received < max(1, sent - 1):
            missed[n] = (sent, received)
    assert missed == {}


def others(fifty: Fifty) -> dict[str, set[tuple[str, ...]]]:
    return {
        name: ids
        for name, ids in fifty.identities().items()
        if name != f"ctx{fifty.specs[CHANGED].tunnel_id}"
    }


def test_a_change_of_a_tunnel_keeps_the_sas_and_the_traffic_of_the_others(fifty):
    before = others(fifty)
    assert len(before) == COUNT - 1
    spec = fifty.specs[CHANGED]

    with no_ping_lost(fifty.many, set(fifty.specs) - {CHANGED}):
        fifty.change(
            phase_one=replace(spec.phase_one, keylife=20_000),
            phase_two=replace(spec.phase_two, keylife=3_000),
        )

    assert others(fifty) == before
    wait_for(lambda: fifty.many.ping(fifty.many.peers[CHANGED].computer), 10)


def test_a_change_of_a_translation_keeps_the_sas_of_its_tunnel(fifty):
    before = fifty.identities()
    spec: TunnelSpec = fifty.specs[CHANGED]
    row = Translation(IPv4Address("10.1.7.1"), IPv4Address("10.64.7.9"), "nine")

    with no_ping_lost(fifty.many, fifty.specs):
        fifty.change(static_nat_subnets=(IPv4Network("10.1.7.0/30"),), translations=(row,))
        assert fifty.many.ping("10.1.7.1")
        fifty.change(static_nat_subnets=spec.static_nat_subnets, translations=())

    assert fifty.identities() == before


def test_the_next_observation_of_a_tunnel_reports_an_initiation_that_charon_refused(fifty):
    steps = list[Step]()
    name, other = f"ctx{fifty.specs[CHANGED].tunnel_id}", f"ctx{fifty.specs[0].tunnel_id}"
    before = fifty.identities()

    with enter_namespace(fifty.many.prefix, CONCENTRATOR):
        fifty.gateway.initiate((Start(name, "nothing", "198.19.0.8"),), steps.append)
        observe(fifty.gateway, Scope(other, frozenset(), NatElements()))
        assert [step.ok for step in steps] == [True]
        observe(fifty.gateway, Scope(name, frozenset(), NatElements()))

    refused = "charon refused to initiate nothing: CHILD_SA config 'nothing' not found"
    assert steps[1:] == [Step(name, refused, ok=False, is_repair=False)]
    assert fifty.identities() == before


def test_a_subnet_pair_is_added_and_removed_with_its_own_child_sa_only(fifty):
    """IKEv2 has a CHILD_SA for each pair because `one_child_per_pair` is set."""
    halves, hosted = tuple(WHOLE.subnets()), tuple(HOSTED.subnets())
    # Userland ESP needs an address of the device in each network that it protects.
    add_address = ["ip", "address", "add", f"{halves[1][1]}/25", "dev", "lo"]
    subprocess.run(namespaces.inside(fifty.many.prefix, PEER, add_address), check=True)
    fifty.change(remote_subnets=halves[:1], one_child_per_pair=True)
    name = f"ctx{fifty.specs[CHANGED].tunnel_id}"
    (first,) = carrying_children(fifty, name)

    with no_ping_lost(fifty.many, fifty.specs):
        fifty.change(remote_subnets=halves)
        assert len(carrying_children(fifty, name)) == 2
        assert first in carrying_children(fifty, name)
        fifty.change(remote_subnets=halves[:1])

    assert carrying_children(fifty, name) == {first}
    fifty.change(remote_subnets=halves, hosted_subnets=hosted)
    assert len(carrying_children(fifty, name)) == 4
    fifty.change(remote_subnets=(WHOLE,), hosted_subnets=(HOSTED,), one_child_per_pair=False)


def carrying_children(fifty: Fifty, name: str) -> set[tuple[str, str]]:
    """Return the unique ids of each CHILD_SA that carries traffic, and of its IKE_SA."""
    return {
        (sa.unique_id, child.unique_id)
        for sa in fifty.ike_sas(name)
        for child in sa.children
        if child.state in CARRYING
    }
