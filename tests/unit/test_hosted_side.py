"""The hosted side of a gateway: the interfaces from which packets may enter a tunnel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY
from vpnportal.domain.planning.hosted_side import Links, hosted_side
from vpnportal.domain.planning.plan import make_plan

HOSTED_PEER = "203.0.113.1"
ADDRESSES = {
    "lo": ("127.0.0.1",),
    "ipsec0": ("10.2.0.0",),
    "eth0": ("203.0.113.254", HOSTED_PEER),
    "eth1": ("10.2.0.1",),
    "eth2": (),
}


def links(admitted: tuple[str, ...] = (), **routes: str) -> Links:
    return Links(
        {name: [int(IPv4Address(text)) for text in texts] for name, texts in ADDRESSES.items()},
        {IPv4Network("10.2.0.0/24"): interface for interface in routes.values()},
        frozenset(admitted),
    )


def test_without_names_it_is_each_interface_but_that_of_the_hosted_peer_addresses():
    derived = hosted_side((), links(route="eth1"), [HOSTED_PEER])

    assert (derived.interfaces, derived.problem) == ({"eth1", "eth2"}, "")


@pytest.mark.parametrize(
    ("names", "interfaces"),
    [(("eth1",), {"eth1"}), (("eth1", "vlan*", "eth[2-9]"), {"eth1", "eth2"})],
)
def test_the_operator_names_it_with_wildcards(names, interfaces):
    declared = hosted_side(names, links(), [HOSTED_PEER])

    assert (declared.interfaces, declared.problem) == (interfaces, "")


@pytest.mark.parametrize(("names", "routes"), [((), {"route": "eth0"}), (("eth0",), {})])
def test_one_interface_for_both_sides_is_a_problem_and_still_forwards(names, routes):
    shared = hosted_side(names, links(**routes), [HOSTED_PEER])

    assert "eth0" in shared.interfaces
    assert shared.problem.startswith("eth0 is an interface of the hosted and of the public side")


def test_names_that_no_interface_has_are_a_problem():
    assert hosted_side(("eth7", "vlan*"), links(), [HOSTED_PEER]).problem.startswith(
        "No interface is called eth7 or vlan*"
    )


def test_a_public_side_that_no_hosted_peer_address_shows_is_a_problem():
    assert hosted_side((), links(), ["203.0.113.9"]).problem.startswith("No interface has a hosted")


def test_a_plan_changes_the_hosted_side_once_and_a_plan_of_one_tunnel_never():
    desired, observed = compile_specs([EXAMPLE], KEY), observe(FakeGateway())
    changed = make_plan(desired, replace(observed, links=links(("eth0", "eth1"))))
    unchanged = make_plan(desired, replace(observed, links=links(("eth1", "eth2"))))
    of_one = make_plan(desired, observed)

    assert (changed.remove_interfaces, changed.add_interfaces) == (("eth0",), ("eth2",))
    for plan in (unchanged, of_one):
        assert (plan.remove_interfaces, plan.add_interfaces) == ((), ())
