"""Dead peer detection: a killed charon of a peer is detected within the limit of its tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.many_peers import ManyPeers, enter_namespace
from lab.topology import CONCENTRATOR
from tests.desired_state import compile_specs
from tests.observation import observe
from tests.running_portal import laboratory_prefix, wait_for
from tests.system.test_many_tunnels import specification
from vpnportal.domain.gateway_config.compile import DPD_INTERVALS_BEFORE_TIMEOUT
from vpnportal.domain.planning.observed import CARRYING
from vpnportal.domain.planning.plan import make_plan
from vpnportal.gateway.driver import GatewayDriver

PREFIX = laboratory_prefix("d")
DPD_SECONDS = 5
# IKEv2 gives up an unanswered request (RFC 7296, 2.4): here after 1 + 1.8 + 3.2 seconds, by
# default after 165.
RETRANSMITS = """
charon {
    retransmit_tries = 2
    retransmit_timeout = 1.0
}
"""
# Each observation of a busy machine takes its time. Without DPD it would be minutes, or never.
LATE_SECONDS = 10
LIMIT_SECONDS = {1: DPD_SECONDS * DPD_INTERVALS_BEFORE_TIMEOUT, 2: DPD_SECONDS + 6}


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def many(request, tmp_path_factory) -> Iterator[ManyPeers]:
    folder = tmp_path_factory.mktemp("d")
    version = request.param
    with ManyPeers(PREFIX, folder, 2, ike_version=version, more=RETRANSMITS).running() as many:
        yield many


def established_children(gateway: GatewayDriver, many: ManyPeers) -> dict[str, set[str]]:
    with enter_namespace(many.prefix, CONCENTRATOR):
        ike_sas = observe(gateway).ike_sas
    return {
        sa.connection: {child.unique_id for child in sa.children if child.state in CARRYING}
        for sa in ike_sas
        if any(child.state in CARRYING for child in sa.children)
    }


def test_a_killed_peer_is_detected_in_time_and_only_with_dpd_enabled(many):
    gateway = GatewayDriver(str(many.concentrator.socket))
    specs = [specification(peer, many.ike_version) for peer in many.peers]
    with_dpd, without_dpd = (
        replace(specs[0], dpd_seconds=DPD_SECONDS),
        replace(specs[1], dpd_seconds=0),
    )
    desired = compile_specs([with_dpd, without_dpd], b"a key")
    with enter_namespace(many.prefix, CONCENTRATOR):
        observed = observe(gateway)
        gateway.apply(make_plan(desired, observed), observed.userland_esp, lambda step: None)
        gateway.initiate(make_plan(desired, observe(gateway)).initiate, lambda step: None)
    wait_for(lambda: established_children(gateway, many).keys() == {"ctx1", "ctx2"}, 15)
    before = established_children(gateway, many)

    many.kill(many.device)

    took = wait_for(
        lambda: not established_children(gateway, many).get("ctx1", set()) & before["ctx1"], 60
    )
    print(f"IKEv{many.ike_version}: detected after {took:.1f} s")
    assert took <= LIMIT_SECONDS[many.ike_version] + LATE_SECONDS
    assert established_children(gateway, many)["ctx2"] == before["ctx2"]
    # The gateway initiates it again, and bin/keep has restarted the peer's charon.
    wait_for(lambda: established_children(gateway, many).get("ctx1"), 30)
