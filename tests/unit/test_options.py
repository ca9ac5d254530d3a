"""The options of a tunnel: initiation, DPD, CHILD_SAs per pair; defaults keep the old names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY, example, networks
from tests.unit.test_plan import apply_once, converge, sa_status
from vpnportal.domain.gateway_config.desired import Connection
from vpnportal.domain.planning.observed import IkeSa
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.serialization import deserialize, serialize
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec
from vpnportal.domain.tunnel.spec_diff import diff_specs

RESPONDER_ONLY = example(starts=Starts.OTHER)
SUBNETS = {
    "hosted_subnets": networks("10.2.0.0/24", "10.3.0.0/24"),
    "remote_subnets": networks("192.168.10.0/24", "192.168.20.0/24"),
}


def connection(spec: TunnelSpec) -> Connection:
    return compile_specs([spec], KEY).connections["ctx42"]


@pytest.mark.parametrize(
    ("version", "name"), [(1, "ctx42-32f5219c-503e5dba"), (2, "ctx42-44fe5815-503e5dba")]
)
def test_a_tunnel_with_default_options_keeps_the_child_name_of_earlier_versions(version, name):
    """Other names would renegotiate every tunnel when the portal is upgraded."""
    assert connection(example(ike_version=version)).children == {name}


def test_a_change_of_initiation_keeps_the_child_names_and_loads_the_connection_again():
    both, peer_only = connection(EXAMPLE), connection(RESPONDER_ONLY)

    assert both.children == peer_only.children
    assert both.as_loaded != peer_only.as_loaded


def test_with_initiation_by_the_peer_only_charon_neither_retries_nor_restarts_a_dead_peer():
    settings = connection(RESPONDER_ONLY).settings
    (child,) = settings["children"].values()

    assert (settings["keyingtries"], child["dpd_action"]) == ("1", "clear")


def test_a_revision_from_before_the_options_has_their_defaults():
    stored = json.loads(serialize(EXAMPLE))
    for name in ("one_child_per_pair", "dpd_seconds", "starts", "translated_only"):
        del stored[name]

    assert deserialize(json.dumps(stored)) == EXAMPLE


def test_changed_options_are_listed_with_the_labels_of_the_page():
    other = example(ike_version=0, dpd_seconds=0, one_child_per_pair=True, starts=Starts.OTHER)

    changes = diff_specs(EXAMPLE, other)

    assert [(change.label, change.before, change.after) for change in changes] == [
        ("IKE version", "IKEv1", "IKEv1 and IKEv2"),
        ("One CHILD_SA per subnet pair", "off", "on"),
        ("Dead Peer Detection (DPD)", "15 seconds", "off"),
        ("Initiation", "both", "peer only"),
    ]


@pytest.mark.parametrize(("seconds", "delay", "timeout"), [(0, "0s", "0s"), (20, "20s", "60s")])
def test_the_dpd_interval_is_the_entered_time(seconds, delay, timeout):
    settings = connection(example(dpd_seconds=seconds)).settings

    assert (settings["dpd_delay"], settings["dpd_timeout"]) == (delay, timeout)


@pytest.mark.parametrize(
    ("version", "one_child_per_pair", "children"),
    [(0, False, 4), (1, False, 4), (2, False, 1), (2, True, 4)],
)
def test_a_tunnel_that_allows_ikev1_has_a_child_for_each_pair(
    version, one_child_per_pair, children
):
    spec = example(ike_version=version, one_child_per_pair=one_child_per_pair, **SUBNETS)

    assert len(connection(spec).children) == children


def test_a_new_subnet_keeps_the_names_of_the_other_pairs_with_ikev2():
    pairs = example(ike_version=2, one_child_per_pair=True, **SUBNETS)
    fewer = replace(pairs, remote_subnets=pairs.remote_subnets[:1])

    assert connection(fewer).children < connection(pairs).children


def test_with_initiation_by_the_peer_only_the_tunnel_comes_up_when_the_peer_initiates():
    gateway = FakeGateway()

    plan = apply_once(gateway, RESPONDER_ONLY)

    assert (plan.initiate, gateway.initiated) == ((), [])
    assert not make_plan(compile_specs([RESPONDER_ONLY], KEY), observe(gateway))
    assert sa_status(gateway) == {42: SaStatus.DOWN}
    gateway.peers_initiate()
    assert sa_status(gateway) == {42: SaStatus.UP}


def test_a_change_of_initiation_alone_keeps_the_running_sas():
    gateway = FakeGateway()
    converge(gateway, EXAMPLE)
    ike_sas = gateway.ike_sas

    plans = converge(gateway, RESPONDER_ONLY)

    assert [(len(plan.load_connections), plan.terminates_sas) for plan in plans] == [(1, False)]
    assert gateway.ike_sas == ike_sas


def test_a_connecting_ike_sa_is_terminated_when_only_the_peer_may_initiate():
    gateway = FakeGateway()
    gateway.peer_answers = False
    apply_once(gateway, EXAMPLE)
    gateway.ike_sas = [IkeSa("ctx42", "1", "CONNECTING", ())]

    plan = make_plan(compile_specs([RESPONDER_ONLY], KEY), observe(gateway))

    assert [stale.unique_id for stale in plan.terminate_dialing] == ["1"]
