"""Grants of networks in the admin, and the grants that a migration gives for what is held."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from tests.html import read
from tests.integration.test_migrations import migrate, migrated_back
from vpnportal import services
from vpnportal.models import NetworkGrant, RemoteClaim, Revision, Tunnel

__all__ = ["migrated_back"]
pytestmark = pytest.mark.django_db
ADD = "admin:vpnportal_networkgrant_add"


@pytest.fixture
def operator(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("otto", password="a password for the tests"))
    return client


def add(operator: Client, account, network: str) -> str:
    """Send the form of a new grant, and return the text of the answer."""
    form = {"account": account.pk, "network": network}
    answer = operator.post(reverse(ADD), form, follow=True)
    return " ".join(read(answer).itertext())


def test_an_operator_grants_a_network_and_is_named(operator, account):
    add(operator, account, "8.8.8.0/24")

    grant = NetworkGrant.objects.get()
    assert (grant.account, str(grant.network), str(grant.granted_by)) == (
        account,
        "8.8.8.0/24",
        "otto",
    )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("10.9.0.0/16", "10.9.0.0/16 needs no grant: it is private, and not larger than a /8."),
        ("64.0.0.0/12", "64.0.0.0/12 is larger than a /16, the largest public network that one"),
        ("0.0.0.0/0", "0.0.0.0/0 matches all addresses."),
        ("8.8.8.8/24", "8.8.8.8/24 has host bits set. Did you mean 8.8.8.0/24?"),
        ("public", "Enter an IPv4 address such as 192.168.10.15."),
    ],
)
def test_a_wrong_grant_is_refused_in_words(operator, account, network, words):
    assert words in add(operator, account, network)
    assert not NetworkGrant.objects.exists()


def test_a_second_grant_of_the_same_network_is_refused_in_words(operator, account):
    add(operator, account, "8.8.8.0/24")

    assert "This account has this grant already." in add(operator, account, "8.8.8.0/24")
    assert NetworkGrant.objects.count() == 1


def test_what_a_tunnel_reserves_before_the_upgrade_it_may_reserve_after_it(
    migrated_back, ready: Tunnel, user: User, transactional_db
):
    for network in ("8.8.8.0/24", "11.0.0.0/8"):
        grant = NetworkGrant.objects.create(account=ready.account, network=IPv4Network(network))
        services.add_remote_subnet(ready, IPv4Network(network), user)
        if network == "8.8.8.0/24":
            granted = grant
    services.apply(ready, user)
    Revision.objects.update(outcome=Revision.Outcome.LIVE)
    granted.delete()
    RemoteClaim.objects.filter(is_peer=True).delete()

    migrate([("vpnportal", "0017_marks")])
    migrate([])
    call_command("digests")

    assert sorted(map(str, NetworkGrant.objects.values_list("network", flat=True))) == [
        "11.0.0.0/8",
        "8.8.8.0/24",
    ]
    assert set(NetworkGrant.objects.values_list("granted_by", flat=True)) == {None}
    fresh = Tunnel.objects.get(pk=ready.pk)
    assert fresh.claims_until is None
    assert RemoteClaim.objects.filter(is_peer=True).count() == 1
    services.edit(fresh, "dpd_seconds", 20, user)
    assert services.apply(fresh, user).number == 2
