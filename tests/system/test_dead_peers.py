"""A peer whose daemon was killed is noticed within the time that its tunnel has for that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.many_peers import ManyPeers, enter_namespace
from lab.topology import CONCENTRATOR
from tests.desired_state import compile_specs
from tests.observation import observe
from tests.running_portal import wait_for
from tests.system.test_many_tunnels import specification
from vpnportal.domain.gateway_config.compile import ASKED
from vpnportal.domain.planning.observed import CARRYING
from vpnportal.domain.planning.plan import make_plan
from vpnportal.gateway.driver import GatewayDriver

PREFIX = os.environ.get("VPNPORTAL_LAB", "vt") + "d"
SECONDS = 5
# IKEv2 gives up a question that is left unanswered (RFC 7296, 2.4): here after 1 + 1.8 + 3.2
# seconds, by default after 165.
RETRANSMITS = """
charon {
    retransmit_tries = 2
    retransmit_timeout = 1.0
}
"""
WITHIN = {1: SECONDS * ASKED, 2: SECONDS + 6}


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def many(request, tmp_path_factory) -> Iterator[ManyPeers]:
    folder = tmp_path_factory.mktemp("d")
    version = request.param
    with ManyPeers(PREFIX, folder, 2, ike_version=version, more=RETRANSMITS).running() as many:
        yield many


def carried(device: GatewayDriver, many: ManyPeers) -> dict[str, set[str]]:
    with enter_namespace(many.prefix, CONCENTRATOR):
        running = observe(device).ike_sas
    return {
        sa.connection: {child.unique_id for child in sa.children if child.state in CARRYING}
        for sa in running
        if any(child.state in CARRYING for child in sa.children)
    }


def test_a_killed_peer_is_noticed_in_time_and_only_where_somebody_asks(many):
    device = GatewayDriver(str(many.concentrator.socket))
    specs = [specification(peer, many.ike_version) for peer in many.peers]
    asks, never = replace(specs[0], dpd_seconds=SECONDS), replace(specs[1], dpd_seconds=0)
    desired = compile_specs([asks, never], b"a key")
    with enter_namespace(many.prefix, CONCENTRATOR):
        observed = observe(device)
        device.apply(make_plan(desired, observed), observed.userland_esp, lambda step: None)
        device.initiate(make_plan(desired, observe(device)).initiate, lambda step: None)
    wait_for(lambda: carried(device, many).keys() == {"ctx1", "ctx2"}, 15)
    before = carried(device, many)

    many.kill(many.device)

    took = wait_for(lambda: not carried(device, many).get("ctx1", set()) & before["ctx1"], 60)
    print(f"IKEv{many.ike_version}: noticed after {took:.1f} s")
    assert took <= WITHIN[many.ike_version] + 3
    assert carried(device, many)["ctx2"] == before["ctx2"]
    # It is dialled again, and its daemon is back.
    wait_for(lambda: carried(device, many).get("ctx1"), 30)
