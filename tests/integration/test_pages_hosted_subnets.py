"""Hosted and service subnets: available ones can be added, others cannot."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from tests.html import read, words
from tests.integration.conftest import make_tunnel
from vpnportal import services
from vpnportal.models import Account, Datacenter, LastEdit, Revision, Subnet, Tunnel

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
Kind = Subnet.Kind


def subnet(kind: Kind, network: str, account=None, datacenter=None, name: str = "") -> Subnet:
    return Subnet.objects.create(
        kind=kind, network=IPv4Network(network), account=account, datacenter=datacenter, name=name
    )


def attach(page, tunnel: Tunnel, pk: object, headers: dict[str, str]):
    url = reverse("attach-subnet", args=[tunnel.pk])
    return page.post(url, {"subnet": pk}, headers=headers, follow=True)


def networks(tunnel: Tunnel) -> set[str]:
    return {str(row) for row in tunnel.subnets.all()}


def available(response, kind: str) -> list[str]:
    """Return the options of the list of available subnets."""
    lists = [e for e in read(response).iter("select") if e.get("id") == f"attach-{kind}"]
    return ["".join(option.itertext()) for select in lists for option in select]


@both
def test_a_hosted_subnet_of_the_account_is_added_and_removed(tunnel, page, headers):
    datacenter = tunnel.concentrator.datacenter
    row = subnet(Kind.HOSTED, "10.4.0.0/24", tunnel.account, datacenter)

    added = attach(page, tunnel, row.pk, headers)

    assert networks(tunnel) == {"10.2.0.0/24", "10.1.255.92/30", "10.4.0.0/24"}
    assert "10.4.0.0/24" in words(added, "attached-hosted")
    assert available(added, "hosted") == []
    assert "pending changes." in words(added, "pending")
    url = reverse("detach-subnet", args=[tunnel.pk, row.pk])
    removed = page.post(url, headers=headers, follow=True)
    assert networks(tunnel) == {"10.2.0.0/24", "10.1.255.92/30"}
    assert available(removed, "hosted") == ["10.4.0.0/24"]
    assert Subnet.objects.filter(pk=row.pk).exists()


@both
def test_a_subnet_that_is_not_available_is_not_found(tunnel, page, headers):
    other = Account.objects.create(name="Another account")
    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    not_available = [
        subnet(Kind.HOSTED, "10.6.0.0/24", other),
        subnet(Kind.SERVICE, "10.7.0.0/24", other),
        subnet(Kind.HOSTED, "10.8.0.0/24", tunnel.account, dallas),
        subnet(Kind.SERVICE, "10.9.0.0/24", None, dallas),
        subnet(Kind.STATIC_NAT, "10.1.254.0/30", tunnel.account),
        subnet(Kind.CUSTOMER, "192.168.77.0/24", tunnel.account),
    ]
    before = networks(tunnel)

    codes = [attach(page, tunnel, row.pk, headers).status_code for row in not_available]

    assert codes == [404] * len(not_available)
    assert attach(page, tunnel, "x", headers).status_code == 400
    assert networks(tunnel) == before
    whole = page.get(reverse("tunnel", args=[tunnel.pk]))
    assert available(whole, "hosted") == available(whole, "service") == []


def test_a_static_nat_subnet_cannot_be_removed_as_a_hosted_one(tunnel, page):
    nat = tunnel.subnets.get(kind=Kind.STATIC_NAT)

    response = page.post(reverse("detach-subnet", args=[tunnel.pk, nat.pk]))

    assert response.status_code == 404
    assert tunnel.subnets.filter(pk=nat.pk).exists()


def test_two_accounts_can_use_the_same_service_of_the_provider(tunnel, page, user, concentrator):
    service = subnet(Kind.SERVICE, "10.100.0.0/24", None, concentrator.datacenter, "backup")
    other = Account.objects.create(name="Another account")
    other_tunnel = make_tunnel(other, concentrator, "ipsec007", hosted="10.7.0.0/24")

    response = attach(page, tunnel, service.pk, HTMX)
    services.attach_subnet(other_tunnel, service, user)

    assert words(response, "attached-service").startswith("Service subnets of this tunnel")
    for number, draft in enumerate((tunnel, other_tunnel)):
        services.edit(draft, "remote_peer", f"198.51.100.{number + 1}", user)
        services.set_preshared_key(draft, "a key of twenty characters", user)
        services.add_remote_subnet(draft, IPv4Network(f"192.168.{number}.0/24"), user)
        fresh = Tunnel.objects.get(pk=draft.pk)
        assert services.apply(fresh, user).spec().hosted_subnets[-1] == service.network


@both
def test_a_subnet_that_overlaps_another_of_the_tunnel_is_refused(tunnel, page, headers, user):
    services.add_remote_subnet(tunnel, IPv4Network("10.4.0.0/16"), user)
    row = subnet(Kind.HOSTED, "10.4.7.0/24", tunnel.account)

    response = attach(page, tunnel, row.pk, headers)

    assert response.status_code == 422
    sentence = "10.4.7.0/24 overlaps 10.4.0.0/16 of this tunnel."
    assert words(response, "attached-hosted").startswith(sentence)
    assert "10.4.7.0/24" not in networks(tunnel)


def test_a_hosted_subnet_of_another_location_is_a_problem_at_apply(ready, user):
    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    ready.subnets.filter(kind=Kind.HOSTED).update(datacenter=dallas)

    with pytest.raises(services.Refused) as refusal:
        services.apply(ready, user)

    assert [(problem.field, problem.text) for problem in refusal.value.problems] == [
        ("hosted_subnets", "10.2.0.0/24 is not at this location. Remove it.")
    ]


def test_only_service_subnets_can_belong_to_no_account_and_each_network_once(db):
    subnet(Kind.SERVICE, "10.100.0.0/24")

    for kind, network in ((Kind.HOSTED, "10.5.0.0/24"), (Kind.SERVICE, "10.100.0.0/24")):
        with pytest.raises(IntegrityError), transaction.atomic():
            subnet(kind, network)


def test_restore_brings_back_a_service_subnet_of_the_provider(ready, user, concentrator):
    service = subnet(Kind.SERVICE, "10.100.0.0/24", None, concentrator.datacenter)
    services.attach_subnet(ready, service, user)
    revision = services.apply(Tunnel.objects.get(pk=ready.pk), user)
    Revision.objects.update(outcome="live")
    services.detach_subnet(ready, service, user)

    services.restore(ready, revision, user)

    assert str(service) in networks(ready)


def test_an_added_subnet_is_recorded_as_an_edit_of_its_author(tunnel, user):
    row = subnet(Kind.HOSTED, "10.4.0.0/24", tunnel.account)

    services.attach_subnet(tunnel, row, user)

    edits = LastEdit.objects.values_list("field", "author__username")
    assert list(edits) == [("hosted_subnets", "ada")]
