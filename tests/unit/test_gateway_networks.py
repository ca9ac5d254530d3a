"""Conflicts between the subnets of a tunnel and the addresses of the gateway."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.unit.samples import EXAMPLE, KEY
from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.planning.plan import gateway_address_conflict

CLAIMS = compile_tunnel(EXAMPLE, KEY).claims


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.168.10.15", "192.168.10.0/24"), ("10.1.255.93", "10.1.255.92/30")],
)
def test_a_claimed_subnet_with_an_address_of_the_gateway_is_a_conflict(address: str, network: str):
    gateway = AddressSet((IPv4Address("10.2.0.1"), IPv4Address(address)))

    assert gateway_address_conflict(CLAIMS, gateway) == (
        f"{network} contains {address}, an address of the concentrator itself"
    )


def test_an_address_of_the_gateway_in_a_hosted_subnet_is_no_conflict():
    gateway = AddressSet((IPv4Address("10.2.0.1"), IPv4Address("203.0.113.1")))

    assert gateway_address_conflict(CLAIMS, gateway) == ""
