"""Isolation of customers: an apply refuses settings that would mix their traffic."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from vpnportal import services
from vpnportal.models import Account, AddressPool, Subnet

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def foreign_subnet(db) -> Subnet:
    other = Account.objects.create(name="Another account")
    return Subnet.objects.create(
        account=other, kind=Subnet.Kind.HOSTED, network=IPv4Network("10.77.0.0/24")
    )


def refusal_of(tunnel, user) -> str:
    with pytest.raises(services.Refused) as refusal:
        services.apply(tunnel, user)
    (problem,) = refusal.value.problems
    assert not tunnel.revisions.exists()
    return problem.text


@pytest.mark.parametrize("network", ["10.77.0.0/24", "10.77.0.128/25", "10.64.0.0/10"])
def test_a_remote_subnet_that_overlaps_a_hosted_subnet_of_another_account(
    ready, user, gateway, foreign_subnet, network
):
    services.add_remote_subnet(ready, IPv4Network(network), user)

    assert refusal_of(ready, user) == (
        f"{network} overlaps a network of the provider. Use another remote subnet."
    )


def test_a_remote_subnet_that_overlaps_an_address_pool(ready, user, gateway, concentrator):
    AddressPool.objects.create(
        concentrator=concentrator, kind="static-nat", network=IPv4Network("10.1.248.0/22")
    )
    services.add_remote_subnet(ready, IPv4Network("10.1.250.0/24"), user)

    assert "overlaps a network of the provider" in refusal_of(ready, user)


def test_a_remote_subnet_that_contains_the_gateway(ready, user, gateway):
    services.add_remote_subnet(ready, IPv4Network("203.0.113.0/28"), user)

    assert refusal_of(ready, user) == (
        "203.0.113.0/28 overlaps a network of the provider. Use another remote subnet."
    )


def test_an_attached_subnet_of_another_account(ready, user, gateway, foreign_subnet):
    ready.subnets.add(foreign_subnet)

    assert refusal_of(ready, user) == "10.77.0.0/24 does not belong to this account. Remove it."
