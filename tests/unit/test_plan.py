"""The plan from the observed to the desired state: only differences, and a converged end."""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows, flows_of
from vpnportal.domain.planning.observed import IkeSa, Scope
from vpnportal.domain.planning.plan import Plan, make_plan, plan_without_sas
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec


def apply_once(gateway: FakeGateway, *tunnels: TunnelSpec) -> Plan:
    plan = make_plan(compile_specs(tunnels, KEY), observe(gateway))
    gateway.apply(plan, True, lambda step: None)
    return plan


def sa_status(gateway: FakeGateway) -> dict[int, SaStatus]:
    return sa_status_by_tunnel(observe(gateway).connections, gateway.ike_sas)


def converge(gateway: FakeGateway, *tunnels: TunnelSpec) -> list[Plan]:
    """Apply plans until a plan is empty; peers initiate the tunnels that only respond."""
    plans: list[Plan] = []
    gateway.peers_initiate()
    while plan := make_plan(compile_specs(tunnels, KEY), observe(gateway)):
        assert len(plans) < 3, plan
        gateway.apply(plan, True, lambda step: None)
        plans.append(plan)
        gateway.peers_initiate()
    return plans


def gateway_with(*tunnels: TunnelSpec) -> FakeGateway:
    gateway = FakeGateway()
    converge(gateway, *tunnels)
    return gateway


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(specs(), max_size=4, unique_by=lambda spec: spec.tunnel_id), max_size=4))
def test_plans_converge_from_any_state_and_leave_only_the_desired_children(
    history: list[list[TunnelSpec]],
):
    gateway = FakeGateway()

    for tunnels in history:
        converge(gateway, *tunnels)
        connections = gateway.connections.values()
        names = {child for connection in connections for child in connection.children}
        assert {child.name for sa in gateway.ike_sas for child in sa.children} == names


@settings(max_examples=25, deadline=None)
@given(st.lists(specs(tunnel_id=1), min_size=1, max_size=4), specs(tunnel_id=2))
def test_the_final_state_does_not_depend_on_the_history(
    history: list[TunnelSpec], neighbour: TunnelSpec
):
    stepwise, direct = gateway_with(neighbour), gateway_with(neighbour, history[-1])

    for spec in history:
        converge(stepwise, neighbour, spec)

    assert stepwise.connections == direct.connections
    assert stepwise.secrets == direct.secrets
    assert stepwise.elements == direct.elements


def test_a_change_of_translations_plans_only_map_elements():
    gateway = gateway_with(EXAMPLE)
    changed = example(translations=(translation("10.1.255.93", "192.168.10.16"),))

    plan = apply_once(gateway, changed)

    assert plan == Plan(remove_elements=plan.remove_elements, add_elements=plan.add_elements)
    assert (len(plan.remove_elements), len(plan.add_elements)) == (3, 3)


def test_a_new_remote_subnet_with_ikev1_initiates_only_its_own_child():
    gateway = gateway_with(EXAMPLE)
    (old_child,) = gateway.connections["ctx42"].children
    changed = example(remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"))

    plan = apply_once(gateway, changed)

    assert plan.terminate == ()
    assert [start.child == old_child for start in plan.initiate] == [False]


def test_a_change_of_phase_two_terminates_the_old_child_after_the_new_one_is_up():
    gateway = gateway_with(EXAMPLE)
    (sa,) = gateway.ike_sas

    first, second = converge(gateway, example(phase_two=replace(EXAMPLE.phase_two, keylife=1_800)))

    assert (first.terminate, len(first.initiate)) == ((), 1)
    assert second == Plan(terminate=(StaleSa("ctx42", sa.children[0].unique_id, False),))
    assert [ike_sa.unique_id for ike_sa in gateway.ike_sas] == [sa.unique_id]


def test_an_older_sa_is_kept_while_the_peer_refuses_the_new_settings():
    gateway = gateway_with(EXAMPLE)
    ike_sas = list(gateway.ike_sas)
    gateway.peer_answers = False

    plan = apply_once(gateway, example(preshared_key="another"))

    assert (plan.terminate, len(plan.initiate)) == ((), 1)
    assert gateway.ike_sas == ike_sas
    assert sa_status(gateway) == {42: SaStatus.OLDER}


@pytest.mark.parametrize(
    "change",
    [
        {"remote_subnets": networks("192.168.20.0/24")},
        {"hosted_subnets": networks("10.2.0.0/25")},
        {"remote_peer": IPv4Address("203.0.113.9")},
    ],
)
def test_an_older_sa_ends_at_once_if_its_traffic_is_not_in_the_newest_revision(change: dict):
    gateway = gateway_with(example(ike_version=2))
    gateway.peer_answers = False

    apply_once(gateway, example(ike_version=2, **change))

    assert [child for sa in gateway.ike_sas for child in sa.children] == []


def test_a_child_with_other_algorithms_than_its_name_says_is_loaded_and_negotiated_again():
    gateway = gateway_with(EXAMPLE)
    (sa,) = gateway.ike_sas
    weak = replace(sa.children[0], suite=sa.children[0].suite._replace(encryption="DES_CBC"))
    gateway.ike_sas = [replace(sa, children=(weak,))]

    (plan,) = converge(gateway, EXAMPLE)

    assert [connection.name for connection in plan.load_connections] == ["ctx42"]
    assert [stale.unique_id for stale in plan.terminate] == [weak.unique_id]


def test_a_foreign_connection_under_a_name_of_the_portal_is_replaced():
    gateway = gateway_with(EXAMPLE)
    connection = gateway.connections["ctx42"]
    gateway.connections["ctx42"] = replace(
        connection, as_loaded=connection.as_loaded._replace(ike_fingerprint="foreign")
    )

    (plan,) = converge(gateway, EXAMPLE)

    assert [connection.name for connection in plan.load_connections] == ["ctx42"]


def test_a_new_key_gets_a_new_ike_sa_and_the_old_secret_is_unloaded():
    gateway = gateway_with(EXAMPLE)
    (old_secret,), (sa,) = gateway.secrets, gateway.ike_sas

    (plan,) = converge(gateway, example(preshared_key="another"))

    assert plan.unload_secrets == (old_secret,)
    assert sa.unique_id not in {ike_sa.unique_id for ike_sa in gateway.ike_sas}


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        (example(phase_two=replace(EXAMPLE.phase_two, keylife=1_800)), 0),
        (example(preshared_key="another"), 1),
        (example(remote_peer=IPv4Address("203.0.113.9")), 1),
    ],
)
def test_the_secret_of_a_scope_is_loaded_only_with_other_ike_settings(
    changed: TunnelSpec, number: int
):
    gateway = gateway_with(EXAMPLE)
    desired = compile_specs([changed], KEY)
    scope = Scope("ctx42", frozenset(gateway.secrets), observe(gateway).elements)

    plan = make_plan(desired, replace(observe(gateway), secrets=None), scope)

    assert [connection.name for connection in plan.load_connections] == ["ctx42"]
    assert plan.load_secrets == tuple(desired.secrets.values())[:number]
    assert plan.unload_secrets == tuple(gateway.secrets)[:number]


def test_an_ike_sa_that_initiates_with_the_old_key_is_terminated():
    gateway = gateway_with(EXAMPLE)
    gateway.ike_sas = [IkeSa("ctx42", "7", "CONNECTING", ())]

    plan = apply_once(gateway, example(preshared_key="another"))

    assert [(stale.unique_id, stale.whole_ike) for stale in plan.terminate_dialing] == [("7", True)]


def test_the_newest_ike_sa_of_ikev1_is_kept_because_the_peer_may_carry_over_it():
    """Charon as the peer moves all CHILD_SAs to it; the concentrator's charon does not."""
    gateway = gateway_with(EXAMPLE)
    refused = example(phase_one=replace(EXAMPLE.phase_one, keylife=20_000))
    gateway.peer_answers = False
    apply_once(gateway, refused)
    (carrying,) = gateway.ike_sas
    newest = replace(carrying, unique_id="99", children=(), version=1)
    gateway.ike_sas = [carrying, newest]

    plan = apply_once(gateway, EXAMPLE)

    assert (plan.terminate_dialing, plan.terminate, plan.initiate) == ((), (), ())


def test_an_idle_ike_sa_of_ikev1_ends_with_the_last_traffic_of_its_tunnel():
    gateway = gateway_with(EXAMPLE)
    (carrying,) = gateway.ike_sas
    idle = replace(carrying, unique_id="99", children=(), version=1)
    gateway.ike_sas = [carrying, idle]

    plan = make_plan(compile_specs([], KEY), observe(gateway))

    assert {stale.unique_id for stale in plan.terminate} == {carrying.unique_id, "99"}


@pytest.mark.parametrize(
    "change",
    [
        {"phase_two": replace(EXAMPLE.phase_two, keylife=1_800)},
        {"remote_subnets": networks("192.168.20.0/24"), "translations": ()},
        {"starts": Starts.OTHER},
        {"translations": (translation("10.1.255.93", "192.168.10.16"),)},
    ],
)
def test_a_change_outside_ike_is_planned_without_sas_and_ends_in_the_same_state(change: dict):
    direct, early, changed = gateway_with(EXAMPLE), gateway_with(EXAMPLE), example(**change)
    scope = Scope("ctx42", frozenset(), observe(early).elements, observe(early).routes)

    plan = plan_without_sas(compile_specs([changed], KEY), observe(early), scope)
    assert plan and not plan.terminates_sas and not plan.initiate
    early.apply(plan, True, lambda step: None)
    assert not plan_without_sas(compile_specs([changed], KEY), observe(early), scope)
    converge(early, changed)

    converge(direct, changed)
    assert early.connections == direct.connections
    assert (early.secrets, early.elements) == (direct.secrets, direct.elements)
    assert sa_status(early) == sa_status(direct)


@pytest.mark.parametrize(
    "tunnels",
    [
        [example(preshared_key="another")],
        [example(phase_one=replace(EXAMPLE.phase_one, keylife=20_000))],
        [example(remote_peer=IPv4Address("203.0.113.9"))],
        [],
    ],
)
def test_other_ike_settings_are_not_planned_without_sas(tunnels: list[TunnelSpec]):
    gateway = gateway_with(EXAMPLE)
    scope = Scope("ctx42", frozenset(), observe(gateway).elements, observe(gateway).routes)

    assert not plan_without_sas(compile_specs(tunnels, KEY), observe(gateway), scope)
    assert not plan_without_sas(compile_specs([EXAMPLE], KEY), observe(FakeGateway()), scope)


def test_a_removed_tunnel_is_unloaded_and_terminated():
    gateway = gateway_with(EXAMPLE)

    plan = apply_once(gateway)

    assert plan.unload_connections == ("ctx42",)
    assert [stale.whole_ike for stale in plan.terminate] == [True]
    assert (gateway.ike_sas, gateway.secrets, gateway.elements) == ([], {}, set())


def test_a_tunnel_is_announced_after_its_translations_and_withdrawn_before_its_connection():
    gateway = FakeGateway()
    steps = [step.name for step in fields(Plan)]

    added, removed = apply_once(gateway, EXAMPLE), apply_once(gateway)

    assert added.add_routes == removed.remove_routes == ("10.1.255.92/30", "203.0.113.1/32")
    assert steps.index("add_elements") < steps.index("add_routes") < steps.index("initiate")
    assert steps.index("load_connections") < steps.index("remove_routes")
    assert steps.index("remove_routes") < steps.index("unload_connections")
    assert gateway.routes == set()


def test_a_route_that_another_program_removed_is_restored_and_its_other_routes_are_removed():
    gateway = gateway_with(EXAMPLE)
    gateway.routes = {"203.0.113.1/32", "10.9.0.0/16"}

    plan = apply_once(gateway, EXAMPLE)

    assert plan == Plan(remove_routes=("10.9.0.0/16",), add_routes=("10.1.255.92/30",))


def test_no_route_is_withdrawn_while_the_desired_state_of_a_tunnel_is_unreadable():
    gateway = gateway_with(EXAMPLE)

    plan = make_plan(compile_specs([], KEY), observe(gateway))

    assert plan.excluding(frozenset(["ctx42"]), compile_specs([], KEY)).remove_routes == ()


def test_a_connecting_ike_sa_is_not_initiated_again():
    gateway = gateway_with(EXAMPLE)
    gateway.ike_sas = [IkeSa("ctx42", "7", "CONNECTING", ())]

    assert not apply_once(gateway, EXAMPLE)


def test_children_under_negotiation_are_not_initiated_again():
    gateway = gateway_with(EXAMPLE)
    gateway.ike_sas = [IkeSa("ctx42", "7", "ESTABLISHED", (), frozenset({"QUICK_MODE"}))]

    assert not apply_once(gateway, EXAMPLE)


def test_a_hosted_network_without_an_address_of_the_gateway_gets_a_loopback_address():
    gateway = gateway_with(example(hosted_subnets=networks("10.2.0.0/24", "10.3.0.0/24")))

    assert gateway.loopback_addresses == {IPv4Address("10.3.0.0")}
    assert apply_once(gateway, EXAMPLE).remove_addresses == (IPv4Address("10.3.0.0"),)


def test_a_hosted_network_of_a_single_host_gets_no_loopback_address():
    gateway = gateway_with(example(hosted_subnets=networks("10.3.0.10/32")))

    assert gateway.loopback_addresses == set()


def test_flushed_rules_are_written_again_without_the_elements():
    gateway = gateway_with(EXAMPLE)
    gateway.rules_current = False

    assert apply_once(gateway, EXAMPLE) == Plan(write_rules=True)


def test_only_flows_that_no_map_and_no_revision_translates_are_ended():
    gateway = gateway_with(EXAMPLE)
    former = compile_specs(
        [example(translations=(translation("10.1.255.93", "192.168.10.9"),))], KEY
    )
    desired = compile_specs([EXAMPLE], KEY)
    left, current = (frozenset(flows_of(state.elements)) for state in (former, desired))
    observed = replace(observe(gateway), leftover_flows=left | current)

    plan = make_plan(desired, observed)

    assert plan == Plan(end_flows=left)
    assert not make_plan(desired, replace(observed, leftover_flows=current))


def test_flows_are_ended_beside_an_unreadable_revision_only_if_another_tunnel_has_their_address():
    before, after = EXAMPLE, example(translations=(translation("10.1.255.92", "192.168.10.9"),))
    desired = compile_specs([after], KEY)
    addressed = frozenset(flows_of(compile_specs([before], KEY).elements))
    unknown = frozenset({NatFlows(NatElement(NatMap.INBOUND, 1, 2))})

    plan = Plan(end_flows=addressed | unknown).excluding(frozenset({"ctx1"}), desired)

    assert {flows.element.map for flows in plan.end_flows} == {NatMap.INBOUND}
    assert plan.end_flows < addressed
