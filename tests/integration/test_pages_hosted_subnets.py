"""Hosted and service subnets: chosen among those that are offered, never another account's."""

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


def offered(answer, kind: str) -> list[str]:
    lists = [e for e in read(answer).iter("select") if e.get("id") == f"attach-{kind}"]
    return ["".join(option.itertext()) for one in lists for option in one]


@both
def test_a_hosted_subnet_of_the_account_is_added_and_removed(tunnel, page, headers):
    here = tunnel.concentrator.datacenter
    row = subnet(Kind.HOSTED, "10.4.0.0/24", tunnel.account, here)

    added = attach(page, tunnel, row.pk, headers)

    assert networks(tunnel) == {"10.2.0.0/24", "10.1.255.92/30", "10.4.0.0/24"}
    assert "10.4.0.0/24" in words(added, "attached-hosted")
    assert offered(added, "hosted") == []
    assert "changes not applied" in words(added, "pending")
    url = reverse("detach-subnet", args=[tunnel.pk, row.pk])
    removed = page.post(url, headers=headers, follow=True)
    assert networks(tunnel) == {"10.2.0.0/24", "10.1.255.92/30"}
    assert offered(removed, "hosted") == ["10.4.0.0/24"]
    assert Subnet.objects.filter(pk=row.pk).exists()


@both
def test_what_is_not_offered_is_not_found(tunnel, page, headers):
    other = Account.objects.create(name="Another account")
    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    not_offered = [
        subnet(Kind.HOSTED, "10.6.0.0/24", other),
        subnet(Kind.SERVICE, "10.7.0.0/24", other),
        subnet(Kind.HOSTED, "10.8.0.0/24", tunnel.account, dallas),
        subnet(Kind.SERVICE, "10.9.0.0/24", None, dallas),
        subnet(Kind.STATIC_NAT, "10.1.254.0/30", tunnel.account),
        subnet(Kind.CUSTOMER, "192.168.77.0/24", tunnel.account),
    ]
    before = networks(tunnel)

    answers = [attach(page, tunnel, row.pk, headers).status_code for row in not_offered]

    assert answers == [404] * len(not_offered)
    assert attach(page, tunnel, "x", headers).status_code == 400
    assert networks(tunnel) == before
    look = page.get(reverse("tunnel", args=[tunnel.pk]))
    assert offered(look, "hosted") == offered(look, "service") == []


def test_a_subnet_of_another_kind_is_not_detached_here(tunnel, page):
    nat = tunnel.subnets.get(kind=Kind.STATIC_NAT)

    answer = page.post(reverse("detach-subnet", args=[tunnel.pk, nat.pk]))

    assert answer.status_code == 404
    assert tunnel.subnets.filter(pk=nat.pk).exists()


def test_two_accounts_reach_the_same_service_of_the_provider(tunnel, page, user, concentrator):
    service = subnet(Kind.SERVICE, "10.100.0.0/24", None, concentrator.datacenter, "backup")
    other = Account.objects.create(name="Another account")
    theirs = make_tunnel(other, concentrator, "ipsec007", hosted="10.7.0.0/24")

    answer = attach(page, tunnel, service.pk, HTMX)
    services.attach_subnet(theirs, service, user)

    assert words(answer, "attached-service").startswith("Service subnets of this tunnel")
    for number, one in enumerate((tunnel, theirs)):
        services.edit(one, "remote_peer", f"198.51.100.{number + 1}", user)
        services.set_preshared_key(one, "a key of twenty characters", user)
        services.add_remote_subnet(one, IPv4Network(f"192.168.{number}.0/24"), user)
        fresh = Tunnel.objects.get(pk=one.pk)
        assert services.apply(fresh, user).spec().hosted_subnets[-1] == service.network


@both
def test_what_overlaps_a_network_of_the_tunnel_is_refused_in_words(tunnel, page, headers, user):
    services.add_remote_subnet(tunnel, IPv4Network("10.4.0.0/16"), user)
    row = subnet(Kind.HOSTED, "10.4.7.0/24", tunnel.account)

    answer = attach(page, tunnel, row.pk, headers)

    assert answer.status_code == 422
    sentence = "10.4.7.0/24 overlaps 10.4.0.0/16 of this tunnel."
    assert words(answer, "attached-hosted").startswith(sentence)
    assert "10.4.7.0/24" not in networks(tunnel)


def test_what_a_moved_tunnel_left_behind_is_a_problem_at_apply(ready, user):
    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    ready.subnets.filter(kind=Kind.HOSTED).update(datacenter=dallas)

    with pytest.raises(services.Refused) as refusal:
        services.apply(ready, user)

    assert [(one.field, one.text) for one in refusal.value.problems] == [
        ("hosted_subnets", "10.2.0.0/24 is not at this location. Remove it.")
    ]


def test_only_services_may_be_everybodys_and_each_once(db):
    subnet(Kind.SERVICE, "10.100.0.0/24")

    for kind, network in ((Kind.HOSTED, "10.5.0.0/24"), (Kind.SERVICE, "10.100.0.0/24")):
        with pytest.raises(IntegrityError), transaction.atomic():
            subnet(kind, network)


def test_a_service_of_the_provider_comes_back_with_its_revision(ready, user, concentrator):
    service = subnet(Kind.SERVICE, "10.100.0.0/24", None, concentrator.datacenter)
    services.attach_subnet(ready, service, user)
    revision = services.apply(Tunnel.objects.get(pk=ready.pk), user)
    Revision.objects.update(outcome="live")
    services.detach_subnet(ready, service, user)

    services.restore(ready, revision, user)

    assert str(service) in networks(ready)


def test_adding_and_removing_name_their_author(tunnel, user):
    row = subnet(Kind.HOSTED, "10.4.0.0/24", tunnel.account)

    services.attach_subnet(tunnel, row, user)

    edits = LastEdit.objects.values_list("field", "author__username")
    assert list(edits) == [("hosted_subnets", "ada")]
