"""Limits of claims: few refusals, few addresses, and operators who see both."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from tests.integration.test_remote_claims import (
    finish,
    make_live,
    on_kernel_plane,
    other,
    stranger,
)
from vpnportal import services
from vpnportal.models import Account, RefusedApply, Subnet, Tunnel

__all__ = ["other", "stranger"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def refusal(tunnel: Tunnel, author: User, network: str) -> str:
    """Return the refusal of an apply with one remote subnet, or ""."""
    for row in tunnel.subnets.filter(kind=Subnet.Kind.CUSTOMER):
        services.remove_remote_subnet(tunnel, row.pk, author)
    services.add_remote_subnet(tunnel, IPv4Network(network), author)
    try:
        services.apply(tunnel, author)
    except services.Refused as refused:
        return str(refused)
    return ""


@pytest.fixture
def searched(ready, other, user, stranger, concentrator) -> Tunnel:
    """Return a live tunnel, beside another account's live tunnel with 192.168.8.0/21."""
    on_kernel_plane(concentrator)
    make_live(other, stranger)
    ready.translations.all().delete()
    assert refusal(ready, user, "192.168.77.0/24") == ""
    finish(ready.revisions.get())
    return ready


def test_s8_a_search_for_networks_of_others_ends_after_a_few_refusal(searched, user, settings):
    settings.REFUSED_APPLIES_PER_HOUR = 3

    answers = [refusal(searched, user, f"192.168.{third}.0/24") for third in (8, 9, 10, 11, 99)]

    assert [" overlaps addresses of another tunnel" in answer for answer in answers] == [
        *(True, True, True),
        *(False, False),
    ]
    assert answers[3] == answers[4]
    assert answers[4].startswith("3 applies of this account were refused in the last hour")
    assert RefusedApply.objects.count() == 3
    assert RefusedApply.objects.first().addresses == "192.168.10.0/24, peer 203.0.113.2"
    # What it reserves already it may still apply.
    services.edit(searched, "dpd_seconds", 25, user)
    assert refusal(searched, user, "192.168.77.0/24") == ""


def test_s8_the_refusals_of_all_tunnels_of_an_account_count_for_an_hour(
    searched, second_tunnel, user, settings
):
    settings.REFUSED_APPLIES_PER_HOUR = 1
    assert "another tunnel of this concentrator" in refusal(searched, user, "192.168.8.0/24")
    assert "in the last hour" in refusal(second_tunnel, user, "192.168.99.0/24")

    RefusedApply.objects.update(at=timezone.now() - timedelta(minutes=61))

    assert refusal(second_tunnel, user, "192.168.99.0/24") == ""


def test_s8_a_draft_with_a_gap_asks_nothing_about_others(searched, user):
    services.edit(searched, "remote_peer", "", user)

    assert "overlaps" not in refusal(searched, user, "192.168.8.0/24")

    assert not RefusedApply.objects.exists()


def test_s8_an_account_reserves_only_so_many_addresses(ready, second_tunnel, user, account):
    ready.translations.all().delete()
    Account.objects.filter(pk=account.pk).update(max_addresses=512)
    assert refusal(second_tunnel, user, "192.168.20.0/24") == ""

    assert refusal(ready, user, "192.168.10.0/23").startswith(
        "This account has 256 of 512 reserved addresses, and this would add 512. Use smaller"
    )
    assert refusal(ready, user, "192.168.10.0/24") == ""
    # A quota that was lowered takes nothing away.
    finish(ready.revisions.get())
    Account.objects.filter(pk=account.pk).update(max_addresses=1)
    services.edit(ready, "dpd_seconds", 25, user)
    assert refusal(ready, user, "192.168.10.0/24") == ""


def test_s8_operators_see_who_reserves_and_who_was_refused(searched, user, client):
    refusal(searched, user, "192.168.8.0/24")
    client.force_login(User.objects.create_superuser("otto"))

    claims = client.get(reverse("admin:vpnportal_remoteclaim_changelist")).content.decode()
    refused = client.get(reverse("admin:vpnportal_refusedapply_changelist")).content.decode()

    for text in ("192.168.8.0/21", "Canary", "198.51.100.77/32", "192.168.77.0/24"):
        assert text in claims
    assert "192.168.8.0/24, peer 203.0.113.2" in refused
