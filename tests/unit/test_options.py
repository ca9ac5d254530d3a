"""More options: who starts, who asks, how many children; and that defaults change no name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY, example, networks
from tests.unit.test_plan import settle, sight
from vpnportal.domain.gateway_config.desired import Connection
from vpnportal.domain.planning.observed import IkeSa
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.serialization import deserialize, serialize
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec
from vpnportal.domain.tunnel.spec_diff import diff_specs

ANSWERS_ONLY = example(starts=Starts.OTHER)
SUBNETS = {
    "hosted_subnets": networks("10.2.0.0/24", "10.3.0.0/24"),
    "remote_subnets": networks("192.168.10.0/24", "192.168.20.0/24"),
}


def compiled(spec: TunnelSpec) -> Connection:
    return compile_specs([spec], KEY).connections["ctx42"]


@pytest.mark.parametrize(
    ("version", "name"), [(1, "ctx42-32f5219c-19cfe880"), (2, "ctx42-44fe5815-19cfe880")]
)
def test_a_tunnel_with_the_default_options_has_the_names_that_it_always_had(version, name):
    """Other names would negotiate every tunnel anew when the portal is upgraded."""
    assert compiled(example(ike_version=version)).children == {name}


def test_who_starts_renames_nothing_and_is_loaded_again():
    ours, theirs = compiled(EXAMPLE), compiled(ANSWERS_ONLY)

    assert ours.children == theirs.children
    assert ours.as_loaded != theirs.as_loaded


def test_where_only_the_other_end_starts_nothing_is_tried_again_and_no_dead_peer_is_dialled():
    settings = compiled(ANSWERS_ONLY).settings
    (child,) = settings["children"].values()

    assert (settings["keyingtries"], child["dpd_action"]) == ("1", "clear")


def test_an_older_revision_thaws_to_the_defaults():
    raw = json.loads(serialize(EXAMPLE))
    for name in ("one_child_per_pair", "dpd_seconds", "starts"):
        del raw[name]

    assert deserialize(json.dumps(raw)) == EXAMPLE


def test_options_that_changed_are_told_in_the_panels_words():
    other = example(ike_version=0, dpd_seconds=0, one_child_per_pair=True, starts=Starts.OTHER)

    assert [(one.label, one.before, one.after) for one in diff_specs(EXAMPLE, other)] == [
        ("IKE version", "IKEv1", "IKEv1 and IKEv2"),
        ("One CHILD_SA per subnet pair", "off", "on"),
        ("Dead Peer Detection (DPD)", "15 seconds", "off"),
        ("Initiation", "both", "peer only"),
    ]


@pytest.mark.parametrize(("seconds", "delay", "timeout"), [(0, "0s", "0s"), (20, "20s", "60s")])
def test_a_peer_is_asked_after_as_long_as_was_entered(seconds, delay, timeout):
    settings = compiled(example(dpd_seconds=seconds)).settings

    assert (settings["dpd_delay"], settings["dpd_timeout"]) == (delay, timeout)


@pytest.mark.parametrize(
    ("version", "asked_for", "children"),
    [(0, False, 4), (1, False, 4), (2, False, 1), (2, True, 4)],
)
def test_a_peer_that_may_speak_ikev1_has_a_child_for_each_pair(version, asked_for, children):
    spec = example(ike_version=version, one_child_per_pair=asked_for, **SUBNETS)

    assert len(compiled(spec).children) == children


def test_one_more_subnet_leaves_the_pairs_of_ikev2_their_names():
    pairs = example(ike_version=2, one_child_per_pair=True, **SUBNETS)
    fewer = replace(pairs, remote_subnets=pairs.remote_subnets[:1])

    assert compiled(fewer).children < compiled(pairs).children


def test_the_other_end_only_is_never_dialled_and_comes_up_when_it_dials():
    device = FakeGateway()

    plan = make_plan(compile_specs([ANSWERS_ONLY], KEY), observe(device))
    device.apply(plan, True, lambda step: None)

    assert (plan.initiate, device.started) == ((), [])
    assert not make_plan(compile_specs([ANSWERS_ONLY], KEY), observe(device))
    assert sight(device) == {42: SaStatus.DOWN}
    device.peers_dial()
    assert sight(device) == {42: SaStatus.UP}


def test_what_runs_goes_on_when_only_who_starts_is_changed():
    device = FakeGateway()
    settle(device, EXAMPLE)
    before = device.associations

    plans = settle(device, ANSWERS_ONLY)

    assert [(len(plan.load_connections), plan.terminates_sas) for plan in plans] == [(1, False)]
    assert device.associations == before


def test_what_still_dials_is_hung_up_when_only_the_other_end_may():
    device = FakeGateway()
    device.peer_answers = False
    settle_once(device, EXAMPLE)
    device.associations = [IkeSa("ctx42", "1", "CONNECTING", ())]

    plan = make_plan(compile_specs([ANSWERS_ONLY], KEY), observe(device))

    assert [one.unique_id for one in plan.terminate_dialing] == ["1"]


def settle_once(device: FakeGateway, spec: TunnelSpec) -> None:
    device.apply(make_plan(compile_specs([spec], KEY), observe(device)), True, lambda step: None)
