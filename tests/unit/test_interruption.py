"""What an apply interrupts follows from the plan that it would make, whatever is changed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.planning.interruption import Extent, interruption
from vpnportal.domain.tunnel.spec_diff import diff_specs, with_field_from

IKEV2 = example(ike_version=2)
TWO = networks("192.168.10.0/24", "192.168.20.0/24")
RENAMED = (translation("10.1.255.92", "192.168.10.15", "another name"),)
MORE = (*EXAMPLE.translations, translation("10.1.255.93", "192.168.10.16"))
BESIDE = {
    "a new key": {"preshared_key": "another"},
    "phase one": {"phase_one": replace(EXAMPLE.phase_one, group=14)},
    "phase two": {"phase_two": replace(EXAMPLE.phase_two, encryption="AES128")},
    "a key life": {"phase_two": replace(EXAMPLE.phase_two, keylife=1800)},
    "one more network": {"remote_subnets": TWO},
}


@pytest.mark.parametrize("spec", [EXAMPLE, IKEV2], ids=["IKEv1", "IKEv2"])
@pytest.mark.parametrize("change", BESIDE.values(), ids=BESIDE.keys())
def test_what_goes_on_until_its_successor_carries_interrupts_nothing(spec, change):
    found = interruption(spec, replace(spec, **change), KEY)

    assert found.extent is Extent.NOTHING
    assert found.text == "No interruption (make-before-break)"


def test_the_other_ike_version_is_negotiated_beside_the_one_that_runs():
    assert interruption(EXAMPLE, IKEV2, KEY).extent is Extent.NOTHING
    assert interruption(IKEV2, EXAMPLE, KEY).extent is Extent.NOTHING


@pytest.mark.parametrize("rows", [RENAMED, MORE], ids=["a name", "one more"])
def test_a_name_or_one_more_translation_touches_no_association_at_all(rows):
    assert interruption(EXAMPLE, example(translations=rows), KEY).text == "No interruption"


@pytest.mark.parametrize("rows", [(), (translation("10.1.255.92", "192.168.10.16"),)])
def test_a_translation_that_goes_or_changes_ends_the_connections_through_its_address(rows):
    found = interruption(EXAMPLE, example(translations=rows), KEY)

    assert found.extent is Extent.FLOWS
    assert found.text == "Ends connections through 10.1.255.92"


def test_a_network_that_goes_ends_its_own_child_in_ikev1_and_breaks_the_one_child_of_ikev2():
    one = interruption(example(remote_subnets=TWO), EXAMPLE, KEY)
    two = interruption(replace(IKEV2, remote_subnets=TWO), IKEV2, KEY)

    assert (one.extent, one.text) == (
        Extent.PAIRS,
        "Ends traffic from 10.2.0.0/24 to 192.168.20.0/24",
    )
    assert two.extent is Extent.TUNNEL
    assert two.text.startswith("Interrupts the tunnel for less than ")


def test_another_peer_is_a_break_and_so_is_another_address_of_this_end():
    peer = example(remote_peer=IPv4Address("203.0.113.9"))
    moved = example(hosted_peer=IPv4Address("203.0.113.8"))

    assert interruption(EXAMPLE, peer, KEY).text.startswith("Interrupts the tunnel for less than ")
    assert interruption(EXAMPLE, moved, KEY).text == (
        "Interrupts the tunnel until the peer uses Hosted Peer Address 203.0.113.8"
    )


def test_what_does_not_run_cannot_be_interrupted():
    found = interruption(None, EXAMPLE, KEY)

    assert (found.extent, found.text) == (Extent.NOTHING, "No interruption")
    assert found.sentence == "No interruption (tunnel is not running)"


def test_a_draft_without_a_peer_is_told_instead_of_compiled():
    assert interruption(EXAMPLE, example(remote_peer=None), KEY).extent is Extent.TUNNEL


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_taking_every_change_one_by_one_leads_to_the_other_specification(before, after):
    taken_over = before
    for change in diff_specs(before, after):
        taken_over = with_field_from(taken_over, after, change.field)

    assert diff_specs(taken_over, after) == ()


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_what_is_the_same_interrupts_nothing_and_every_pair_is_told(before, after):
    assert interruption(before, before, KEY).text == "No interruption"
    assert interruption(before, after, KEY).sentence
