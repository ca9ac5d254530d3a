"""The laboratory with many peers, each reached through its own tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.many_peers import ManyPeers, enter_namespace
from lab.namespaces import existing
from lab.peers import HOSTED, Peer
from lab.topology import CONCENTRATOR
from tests.desired_state import compile_specs
from tests.observation import converge, observe
from tests.running_portal import laboratory_prefix, wait_for
from vpnportal.domain.gateway_config.compile import InlineSettings
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, TunnelSpec
from vpnportal.gateway.driver import GatewayDriver

PREFIX = laboratory_prefix("m")


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManyPeers]:
    folder = tmp_path_factory.mktemp("m")
    with ManyPeers(PREFIX, folder, 12, ike_version=request.param).running() as many:
        yield many


def specification(peer: Peer, ike_version: int) -> TunnelSpec:
    return TunnelSpec(
        tunnel_id=peer.number + 1,
        hosted_peer=peer.hosted_peer,
        remote_peer=peer.remote_peer,
        preshared_key=peer.preshared_key,
        ike_version=ike_version,
        phase_one=PhaseOne("AES128", "SHA1", 2, 14_400),
        phase_two=PhaseTwo("AES128", "SHA1", True, 2, 3_600),
        hosted_subnets=(HOSTED,),
        remote_subnets=(peer.remote_network,),
        static_nat_subnets=(),
        translations=(),
    )


def test_a_connection_that_charon_refuses_does_not_affect_the_others(many):
    gateway = GatewayDriver(str(many.concentrator.socket))
    specs = [specification(peer, many.ike_version) for peer in many.peers]
    desired = compile_specs(specs, b"a key")
    refused = desired.connections["ctx5"]
    source = InlineSettings({**refused.settings, "proposals": ["nonsense"]}, specs[4].preshared_key)
    desired.connections["ctx5"] = replace(refused, source=source)

    with enter_namespace(many.prefix, CONCENTRATOR):
        before = observe(gateway)
        reasons = gateway.apply(make_plan(desired, before), before.userland_esp, lambda step: None)
        after = observe(gateway)

    assert reasons == {"ctx5": "invalid value for: proposals, config discarded"}
    assert after.connections.keys() == desired.connections.keys() - {"ctx5"}
    others = {secret.id for secret in desired.secrets.values() if secret.connection != "ctx5"}
    assert set(after.secrets) == others


def test_each_peer_answers_through_its_own_tunnel_and_no_other(many):
    (*others, last) = many.peers
    computers = {peer.computer for peer in others}
    assert not many.answering(computers)

    specs = (specification(peer, many.ike_version) for peer in others)
    with enter_namespace(many.prefix, CONCENTRATOR):
        gateway = GatewayDriver(str(many.concentrator.socket))
        converge(gateway, compile_specs(specs, b"a key"), 60)

    # In IKEv1 the responder installs its SA after the initiator.
    wait_for(lambda: many.answering(computers) == computers, 20)
    assert not many.answering([last.computer])


def test_down_removes_every_namespace(many):
    many.down()

    assert existing(PREFIX) == []
