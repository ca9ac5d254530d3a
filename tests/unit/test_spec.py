"""Problems of specifications, by field and text."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from tests.unit.samples import EXAMPLE, example, networks, specs, translation
from vpnportal.domain.tunnel.serialization import deserialize, serialize
from vpnportal.domain.tunnel.spec import TunnelSpec


def test_the_example_has_no_problems():
    assert EXAMPLE.problems() == ()


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        (
            example(remote_peer=None),
            "remote_peer",
            "Enter the static address of the customer's VPN device.",
        ),
        (
            example(remote_peer=IPv4Address("203.0.113.1")),
            "remote_peer",
            "203.0.113.1 is the Hosted Peer Address. Enter the address of the peer.",
        ),
        (example(preshared_key=""), "preshared_key", "Enter the preshared key."),
        (
            example(phase_one=replace(EXAMPLE.phase_one, group=0)),
            "phase_one_group",
            "IKE needs a Diffie-Hellman group in phase one: choose one, not 0.",
        ),
        (
            example(phase_two=replace(EXAMPLE.phase_two, group=0)),
            "phase_two_group",
            "Perfect Forward Secrecy needs a group: choose one, or switch PFS off.",
        ),
        (
            example(phase_two=replace(EXAMPLE.phase_two, keylife=119)),
            "phase_two_keylife",
            "Enter a key life from 120 to 172800 seconds.",
        ),
        (
            example(hosted_subnets=()),
            "hosted_subnets",
            "Select at least one hosted subnet for the tunnel.",
        ),
        (
            example(remote_subnets=networks("192.168.10.0/24", "192.168.10.0/25")),
            "remote_subnets",
            "192.168.10.0/24 and 192.168.10.0/25 overlap: remove one of them.",
        ),
        (
            example(translations=(translation("10.1.255.92", "192.168.11.15"),)),
            "translation 10.1.255.92",
            "192.168.11.15 is not a host address in the remote subnets (192.168.10.0/24).",
        ),
        (
            example(translations=(translation("10.1.255.92", "192.168.10.255"),)),
            "translation 10.1.255.92",
            "192.168.10.255 is not a host address in the remote subnets (192.168.10.0/24).",
        ),
        (
            example(translations=(translation("10.1.255.96", "192.168.10.15"),)),
            "translation 10.1.255.96",
            "10.1.255.96 is in no static NAT subnet of this tunnel.",
        ),
    ],
)
def test_a_problem_has_a_field_and_a_text(spec: TunnelSpec, field: str, text: str):
    assert [(problem.field, problem.text) for problem in spec.problems()] == [(field, text)]


def test_two_translations_to_the_same_customer_address_are_both_problems():
    rows = (
        translation("10.1.255.92", "192.168.10.15"),
        translation("10.1.255.93", "192.168.10.15"),
    )

    fields = [problem.field for problem in example(translations=rows).problems()]

    assert fields == ["translation 10.1.255.92", "translation 10.1.255.93"]


def test_a_remote_subnet_that_overlaps_a_hosted_subnet_is_a_problem():
    spec = example(remote_subnets=networks("10.2.0.0/16"), translations=())

    assert [problem.field for problem in spec.problems()] == ["remote_subnets"]


def test_without_pfs_the_group_of_phase_two_does_not_count():
    phase_two = replace(EXAMPLE.phase_two, pfs=False, group=0)

    assert example(phase_two=phase_two).problems() == ()


def test_the_repr_of_a_specification_does_not_contain_the_key():
    assert EXAMPLE.preshared_key not in repr(EXAMPLE)


@given(specs())
def test_a_serialized_specification_deserializes_to_itself(spec: TunnelSpec):
    assert spec.problems() == ()
    assert deserialize(serialize(spec)) == spec
