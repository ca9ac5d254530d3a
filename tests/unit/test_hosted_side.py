"""The hosted side of a gateway: the interfaces from which packets may enter a tunnel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.desired_state import compile_specs
from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY
from vpnportal.domain.planning.hosted_side import Links, hosted_side
from vpnportal.domain.planning.plan import make_plan

LINKS = Links(
    names=frozenset(("lo", "ipsec0", "sit0", "tunl0", "eth0", "eth1", "eth2")),
    public=frozenset(("eth0",)),
    leading=frozenset(("eth1",)),
)
NOTHING: frozenset[str] = frozenset()


def test_without_names_it_is_each_interface_but_that_of_the_hosted_peer_addresses():
    derived = hosted_side((), LINKS)

    assert (derived.interfaces, derived.problem) == ({"eth1", "eth2"}, "")


@pytest.mark.parametrize(
    ("names", "interfaces"),
    [(("eth1",), {"eth1"}), (("eth1", "vlan*", "eth[2-9]"), {"eth1", "eth2"})],
)
def test_the_operator_names_it_with_wildcards(names, interfaces):
    declared = hosted_side(names, LINKS)

    assert (declared.interfaces, declared.problem) == (interfaces, "")


@pytest.mark.parametrize(("names", "leading"), [((), {"eth0"}), (("eth0",), {"eth1"})])
def test_one_interface_for_both_sides_is_a_problem_and_still_forwards(names, leading):
    shared = hosted_side(names, replace(LINKS, leading=frozenset(leading)))

    assert "eth0" in shared.interfaces
    assert shared.problem.startswith("eth0 is an interface of the hosted and of the public side")


def test_names_that_no_interface_has_are_a_problem():
    assert hosted_side(("eth7", "vlan*"), LINKS).problem.startswith(
        "No interface is called eth7 or vlan*"
    )


def test_while_no_hosted_peer_address_shows_the_public_side_only_routes_admit_interfaces():
    unknown = hosted_side((), replace(LINKS, public=NOTHING))

    assert unknown.interfaces == {"eth1"}
    assert unknown.problem.startswith("No interface has a hosted peer address")


def test_a_public_interface_without_a_route_to_a_hosted_network_admits_nothing():
    alone = hosted_side((), Links(names=LINKS.public, public=LINKS.public))

    assert alone.interfaces == NOTHING
    assert alone.problem.startswith("eth0 is the only interface")


@pytest.mark.parametrize(
    ("present", "links", "removed", "added"),
    [
        ({"eth0", "eth1"}, LINKS, ("eth0",), ("eth2",)),
        ({"eth1", "eth2"}, LINKS, (), ()),
        # Another tunnel may be on eth2 with its hosted peer address.
        ({"eth0"}, replace(LINKS, is_partial=True), ("eth0",), ("eth1",)),
        ({"eth0", "eth1", "eth2"}, replace(LINKS, is_partial=True), ("eth0",), ()),
    ],
)
def test_a_plan_changes_the_hosted_side_also_while_only_some_tunnels_are_known(
    present: set[str], links: Links, removed: tuple[str, ...], added: tuple[str, ...]
):
    desired, observed = compile_specs([EXAMPLE], KEY), observe(FakeGateway())
    links = replace(links, hosted_side=frozenset(present))

    plan = make_plan(desired, replace(observed, links=links))

    assert (plan.remove_interfaces, plan.add_interfaces) == (removed, added)
