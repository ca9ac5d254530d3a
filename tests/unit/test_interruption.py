"""Interruption by an apply, for each kind of change."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.planning.interruption import Extent, interruption
from vpnportal.domain.tunnel.spec_diff import diff_specs, with_field_from

IKEV2 = example(ike_version=2)
TWO_SUBNETS = networks("192.168.10.0/24", "192.168.20.0/24")
RENAMED_ROW = (translation("10.1.255.92", "192.168.10.15", "another name"),)
ADDED_ROW = (*EXAMPLE.translations, translation("10.1.255.93", "192.168.10.16"))
MAKE_BEFORE_BREAK = {
    "a new key": {"preshared_key": "another"},
    "phase one": {"phase_one": replace(EXAMPLE.phase_one, group=14)},
    "phase two": {"phase_two": replace(EXAMPLE.phase_two, encryption="AES128")},
    "a key life": {"phase_two": replace(EXAMPLE.phase_two, keylife=1800)},
    "a new remote subnet": {"remote_subnets": TWO_SUBNETS},
}


@pytest.mark.parametrize("spec", [EXAMPLE, IKEV2], ids=["IKEv1", "IKEv2"])
@pytest.mark.parametrize("change", MAKE_BEFORE_BREAK.values(), ids=MAKE_BEFORE_BREAK.keys())
def test_a_change_that_charon_negotiates_beside_the_running_sa_interrupts_nothing(spec, change):
    result = interruption(spec, replace(spec, **change), KEY)

    assert result.extent is Extent.NOTHING
    assert result.text == "No interruption (make-before-break)"


def test_a_change_of_the_ike_version_interrupts_nothing():
    assert interruption(EXAMPLE, IKEV2, KEY).extent is Extent.NOTHING
    assert interruption(IKEV2, EXAMPLE, KEY).extent is Extent.NOTHING


@pytest.mark.parametrize("rows", [RENAMED_ROW, ADDED_ROW], ids=["renamed", "added"])
def test_a_renamed_or_added_translation_interrupts_nothing(rows):
    assert interruption(EXAMPLE, example(translations=rows), KEY).text == "No interruption"


@pytest.mark.parametrize("rows", [(), (translation("10.1.255.92", "192.168.10.16"),)])
def test_a_removed_or_changed_translation_ends_the_connections_through_its_address(rows):
    result = interruption(EXAMPLE, example(translations=rows), KEY)

    assert result.extent is Extent.FLOWS
    assert result.text == "Ends connections through 10.1.255.92"


def test_a_removed_subnet_ends_its_pair_with_ikev1_and_interrupts_the_tunnel_with_ikev2():
    ikev1 = interruption(example(remote_subnets=TWO_SUBNETS), EXAMPLE, KEY)
    ikev2 = interruption(replace(IKEV2, remote_subnets=TWO_SUBNETS), IKEV2, KEY)

    assert (ikev1.extent, ikev1.text) == (
        Extent.PAIRS,
        "Ends traffic from 10.2.0.0/24 to 192.168.20.0/24",
    )
    assert ikev2.extent is Extent.TUNNEL
    assert ikev2.text.startswith("Interrupts the tunnel for less than ")


def test_a_change_of_either_peer_address_interrupts_the_tunnel():
    other_remote_peer = example(remote_peer=IPv4Address("203.0.113.9"))
    other_hosted_peer = example(hosted_peer=IPv4Address("203.0.113.8"))

    assert interruption(EXAMPLE, other_remote_peer, KEY).text.startswith(
        "Interrupts the tunnel for less than "
    )
    assert interruption(EXAMPLE, other_hosted_peer, KEY).text == (
        "Interrupts the tunnel until the peer uses Hosted Peer Address 203.0.113.8"
    )


def test_a_tunnel_that_does_not_run_is_not_interrupted():
    result = interruption(None, EXAMPLE, KEY)

    assert (result.extent, result.text) == (Extent.NOTHING, "No interruption")
    assert result.sentence == "No interruption (tunnel is not running)"


def test_a_draft_without_a_remote_peer_ends_the_tunnel():
    assert interruption(EXAMPLE, example(remote_peer=None), KEY).extent is Extent.TUNNEL


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_applying_each_change_by_itself_leads_to_the_other_specification(before, after):
    spec = before
    for change in diff_specs(before, after):
        spec = with_field_from(spec, after, change.field)

    assert diff_specs(spec, after) == ()


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_equal_specifications_interrupt_nothing_and_each_pair_has_a_sentence(before, after):
    assert interruption(before, before, KEY).text == "No interruption"
    assert interruption(before, after, KEY).sentence
