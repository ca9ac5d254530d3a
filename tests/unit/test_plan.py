"""Desired against observed: only what differs is done, and a second look finds nothing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.planning.observed import IkeSa, Scope
from vpnportal.domain.planning.plan import Plan, make_plan, plan_without_sas
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec


def converge(device: FakeGateway, *wanted: TunnelSpec) -> Plan:
    plan = make_plan(compile_specs(wanted, KEY), observe(device))
    device.apply(plan, True, lambda step: None)
    return plan


def sight(device: FakeGateway) -> dict[int, SaStatus]:
    return sa_status_by_tunnel(observe(device).connections, device.associations)


def settle(device: FakeGateway, *wanted: TunnelSpec) -> list[Plan]:
    """Until a look finds nothing to do, with peers that begin what only they may."""
    plans: list[Plan] = []
    device.peers_dial()
    while plan := make_plan(compile_specs(wanted, KEY), observe(device)):
        assert len(plans) < 3, plan
        device.apply(plan, True, lambda step: None)
        plans.append(plan)
        device.peers_dial()
    return plans


def holding(*wanted: TunnelSpec) -> FakeGateway:
    device = FakeGateway()
    settle(device, *wanted)
    return device


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(specs(), max_size=4, unique_by=lambda spec: spec.tunnel_id), max_size=4))
def test_converging_ends_wherever_it_began_and_leaves_nothing_that_is_not_wanted(
    history: list[list[TunnelSpec]],
):
    device = FakeGateway()

    for wanted in history:
        settle(device, *wanted)
        names = {child for one in device.connections.values() for child in one.children}
        assert {child.name for sa in device.associations for child in sa.children} == names


@settings(max_examples=25, deadline=None)
@given(st.lists(specs(tunnel_id=1), min_size=1, max_size=4), specs(tunnel_id=2))
def test_any_way_to_a_specification_ends_in_the_same_state(
    history: list[TunnelSpec], neighbour: TunnelSpec
):
    wandering, direct = holding(neighbour), holding(neighbour, history[-1])

    for spec in history:
        settle(wandering, neighbour, spec)

    assert wandering.connections == direct.connections
    assert wandering.secrets == direct.secrets
    assert wandering.elements == direct.elements


def test_a_translation_only_change_touches_no_association():
    device = holding(EXAMPLE)

    plan = converge(device, example(translations=(translation("10.1.255.93", "192.168.10.16"),)))

    assert plan == Plan(remove_elements=plan.remove_elements, add_elements=plan.add_elements)
    assert (len(plan.remove_elements), len(plan.add_elements)) == (2, 2)


def test_one_more_subnet_of_ikev1_starts_only_its_own_child():
    device = holding(EXAMPLE)
    (before,) = device.connections["ctx42"].children

    plan = converge(device, example(remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24")))

    assert plan.terminate == ()
    assert [one.child == before for one in plan.initiate] == [False]


def test_a_change_of_phase_two_makes_the_new_child_before_it_breaks_the_old_one():
    device = holding(EXAMPLE)
    (sa,) = device.associations

    first, second = settle(device, example(phase_two=replace(EXAMPLE.phase_two, keylife=1_800)))

    assert (first.terminate, len(first.initiate)) == ((), 1)
    assert second == Plan(terminate=(StaleSa("ctx42", sa.children[0].unique_id, False),))
    assert [one.unique_id for one in device.associations] == [sa.unique_id]


def test_an_older_association_goes_on_while_the_peer_refuses_the_new_settings():
    device = holding(EXAMPLE)
    before = list(device.associations)
    device.peer_answers = False

    plan = converge(device, example(preshared_key="another"))

    assert (plan.terminate, len(plan.initiate)) == ((), 1)
    assert device.associations == before
    assert sight(device) == {42: SaStatus.OLDER}


@pytest.mark.parametrize(
    "change",
    [
        {"remote_subnets": networks("192.168.20.0/24")},
        {"hosted_subnets": networks("10.2.0.0/25")},
        {"remote_peer": IPv4Address("203.0.113.9")},
    ],
)
def test_an_older_association_ends_at_once_when_it_leads_where_nothing_may_go(change: dict):
    device = holding(example(ike_version=2))
    device.peer_answers = False

    converge(device, example(ike_version=2, **change))

    assert [child for sa in device.associations for child in sa.children] == []


def test_an_association_whose_algorithms_are_not_its_names_is_loaded_and_made_again():
    device = holding(EXAMPLE)
    (sa,) = device.associations
    weak = replace(sa.children[0], suite=sa.children[0].suite._replace(encryption="DES_CBC"))
    device.associations = [replace(sa, children=(weak,))]

    (plan,) = settle(device, EXAMPLE)

    assert [one.name for one in plan.load_connections] == ["ctx42"]
    assert [one.unique_id for one in plan.terminate] == [weak.unique_id]


def test_a_connection_that_somebody_else_loaded_under_our_name_is_put_right():
    device = holding(EXAMPLE)
    ours = device.connections["ctx42"]
    device.connections["ctx42"] = replace(
        ours, as_loaded=ours.as_loaded._replace(ike_fingerprint="somebody")
    )

    (plan,) = settle(device, EXAMPLE)

    assert [one.name for one in plan.load_connections] == ["ctx42"]


def test_a_new_key_is_negotiated_in_a_new_ike_sa_and_the_old_secret_forgotten():
    device = holding(EXAMPLE)
    (old,), (sa,) = device.secrets, device.associations

    (plan,) = settle(device, example(preshared_key="another"))

    assert plan.unload_secrets == (old,)
    assert sa.unique_id not in {one.unique_id for one in device.associations}


def test_an_ike_sa_that_still_dials_with_the_old_key_is_ended():
    device = holding(EXAMPLE)
    device.associations = [IkeSa("ctx42", "7", "CONNECTING", ())]

    plan = converge(device, example(preshared_key="another"))

    assert [(stale.unique_id, stale.whole_ike) for stale in plan.terminate_dialing] == [("7", True)]


@pytest.mark.parametrize(
    "change",
    [
        {"phase_two": replace(EXAMPLE.phase_two, keylife=1_800)},
        {"remote_subnets": networks("192.168.20.0/24"), "translations": ()},
        {"starts": Starts.OTHER},
        {"translations": (translation("10.1.255.93", "192.168.10.16"),)},
    ],
)
def test_what_leaves_ike_as_it_is_does_not_wait_to_hear_what_runs_and_ends_the_same(change: dict):
    direct, hasty, wanted = holding(EXAMPLE), holding(EXAMPLE), example(**change)
    scope = Scope("ctx42", frozenset(), observe(hasty).elements)

    plan = plan_without_sas(compile_specs([wanted], KEY), observe(hasty), scope)
    assert plan and not plan.terminates_sas and not plan.initiate
    hasty.apply(plan, True, lambda step: None)
    assert not plan_without_sas(compile_specs([wanted], KEY), observe(hasty), scope)
    settle(hasty, wanted)

    settle(direct, wanted)
    assert hasty.connections == direct.connections
    assert (hasty.secrets, hasty.elements) == (direct.secrets, direct.elements)
    assert sight(hasty) == sight(direct)


@pytest.mark.parametrize(
    "wanted",
    [
        [example(preshared_key="another")],
        [example(phase_one=replace(EXAMPLE.phase_one, keylife=20_000))],
        [example(remote_peer=IPv4Address("203.0.113.9"))],
        [],
    ],
)
def test_nothing_is_loaded_over_another_ike_before_it_is_known_what_dials(wanted: list[TunnelSpec]):
    device = holding(EXAMPLE)
    scope = Scope("ctx42", frozenset(), observe(device).elements)

    assert not plan_without_sas(compile_specs(wanted, KEY), observe(device), scope)
    assert not plan_without_sas(compile_specs([EXAMPLE], KEY), observe(FakeGateway()), scope)


def test_a_removed_tunnel_is_terminated_and_not_only_unloaded():
    device = holding(EXAMPLE)

    plan = converge(device)

    assert plan.unload_connections == ("ctx42",)
    assert [stale.whole_ike for stale in plan.terminate] == [True]
    assert (device.associations, device.secrets, device.elements) == ([], {}, set())


def test_a_connection_that_dials_already_is_not_started_again():
    device = holding(EXAMPLE)
    device.associations = [IkeSa("ctx42", "7", "CONNECTING", ())]

    assert not converge(device, EXAMPLE)


def test_children_on_their_way_are_not_started_again():
    device = holding(EXAMPLE)
    device.associations = [IkeSa("ctx42", "7", "ESTABLISHED", (), frozenset({"QUICK_MODE"}))]

    assert not converge(device, EXAMPLE)


def test_a_hosted_network_without_an_address_of_the_gateway_gets_one():
    device = holding(example(hosted_subnets=networks("10.2.0.0/24", "10.3.0.0/24")))

    assert device.anchors == {IPv4Address("10.3.0.0")}
    assert converge(device, EXAMPLE).remove_addresses == (IPv4Address("10.3.0.0"),)


def test_the_gateway_never_takes_the_address_of_a_hosted_network_that_is_one_host():
    device = holding(example(hosted_subnets=networks("10.3.0.10/32")))

    assert device.anchors == set()


def test_flushed_rules_are_written_again_and_the_elements_left_alone():
    device = holding(EXAMPLE)
    device.rules_stand = False

    assert converge(device, EXAMPLE) == Plan(write_rules=True)
