"""Quotas: an account does not take all that others need, nor learn their addresses."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from tests.api_client import CONTAINER
from tests.html import read
from tests.integration.conftest import make_tunnel
from tests.portal_processes import Portal, run_at_once
from vpnportal import services
from vpnportal.api.types.products import PRICE
from vpnportal.models import Account, AddressPool, Datacenter, PeerProbe, Role, Tunnel
from vpnportal.services import Quota, TranslationRow

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
ASK = "or ask the service operators for more."
SEED = """
from ipaddress import IPv4Network
from django.contrib.auth.models import User
from vpnportal.models import *
User.objects.create_user("ada")
Account.objects.create(name="Example account", max_tunnels=3)
houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
concentrator = Concentrator.objects.create(
    name="hou02-vpn01", datacenter=houston, public_address="203.0.113.1"
)
for kind, pool in (("hosted-peer", "198.51.100.0/24"), ("static-nat", "10.1.0.0/24")):
    AddressPool.objects.create(concentrator=concentrator, kind=kind, network=IPv4Network(pool))
"""
ORDER_TWO = """
import json
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import *
account, houston, ada = Account.objects.get(), Datacenter.objects.get(), User.objects.get()
print("ready", flush=True)
input()
for _ in range(2):
    try:
        print(json.dumps(services.order(account, houston, ada).name))
    except services.Refused as refused:
        print(json.dumps(str(refused)))
"""
FULL = "This account has {0} of {0} {1}. {2}, " + ASK


@pytest.fixture
def houston(concentrator) -> Datacenter:
    """Return a data center with free addresses."""
    for kind, network in (("hosted-peer", "198.51.100.0/24"), ("static-nat", "10.1.0.0/24")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator.datacenter


def allow(account: Account, **quotas: int) -> None:
    Account.objects.filter(pk=account.pk).update(**quotas)


def test_s9_of_six_orders_at_once_the_quota_lets_three_through(tmp_path):
    portal = Portal(tmp_path)
    portal.run("shell", "-v0", "-c", SEED)

    results = [
        json.loads(line) for line in run_at_once([portal.start(ORDER_TWO) for _ in range(3)])
    ]

    refusal = FULL.format(3, "tunnels", "Delete a tunnel that is not needed")
    assert sorted(results) == sorted(["ipsec001", "ipsec002", "ipsec003", *[refusal] * 3])


def add_subnet(tunnel: Tunnel, user: User) -> None:
    services.add_remote_subnet(tunnel, IPv4Network("192.168.77.0/24"), user)


def add_translation(tunnel: Tunnel, user: User) -> None:
    row = TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.10.16"))
    services.set_translations(tunnel, [row], user)


def ask_peer(tunnel: Tunnel, user: User) -> None:
    other = make_tunnel(tunnel.account, tunnel.concentrator, "ipsec009")
    PeerProbe.objects.create(tunnel=other)
    services.start_probe(tunnel, user)


@pytest.mark.parametrize(
    ("quota", "limit", "add", "refusal"),
    [
        (Quota.SUBNETS, 1, add_subnet, "Delete remote subnets that are not needed"),
        (Quota.TRANSLATIONS, 1, add_translation, "Delete translations that are not needed"),
        (Quota.PROBES, 1, ask_peer, "Wait for the result"),
        (
            Quota.API_KEYS,
            0,
            lambda tunnel, user: services.create_api_key(tunnel.account, user, "a program"),
            "Revoke an API key that is not needed",
        ),
        (
            Quota.INVITATIONS,
            0,
            lambda tunnel, user: services.invite(tunnel.account, Role.VIEWER, "", user),
            "Revoke an invitation that is not needed",
        ),
    ],
)
def test_s9_an_account_at_its_quota_adds_nothing_and_keeps_what_it_has(
    ready, user, account, quota, limit, add, refusal
):
    allow(account, **{f"max_{quota}": limit})

    with pytest.raises(services.Refused) as refused:
        add(ready, user)

    assert str(refused.value) == FULL.format(limit, quota.label, refusal)
    before = {use.quota: use.used for use in services.quota_uses([account.pk])[account.pk]}
    assert before[quota] == limit
    allow(account, **{f"max_{quota}": limit + 1})
    PeerProbe.objects.update(state=PeerProbe.State.FAILED)
    Tunnel.objects.filter(name="ipsec009").delete()
    add(ready, user)


def test_s9_a_table_at_the_quota_can_be_changed_and_a_restore_cannot_pass_it(ready, user, account):
    revision = services.apply(ready, user)
    revision.outcome = "live"
    revision.save()
    allow(account, max_translations=1)
    at, moved = IPv4Address("10.1.255.92"), IPv4Address("192.168.10.99")
    services.set_translations(ready, [TranslationRow(at, moved)], user)
    services.restore(ready, revision, user)
    allow(account, max_translations=0)
    services.set_translations(ready, [TranslationRow(at, None)], user)

    with pytest.raises(services.Refused, match="0 of 0 translations"):
        services.restore(ready, revision, user)

    assert not ready.translations.exists()


def test_s9_orders_and_deletions_of_an_hour_are_limited(account, houston, owner, settings):
    settings.ORDERS_PER_HOUR = 2
    tunnels = [services.order(account, houston, owner) for _ in range(2)]
    with pytest.raises(services.Refused, match="The limit is 2 orders of an account in one hour"):
        services.order(account, houston, owner)

    Tunnel.objects.update(ordered_at=timezone.now() - timezone.timedelta(hours=2))
    tunnels.append(services.order(account, houston, owner))
    for tunnel in tunnels[:2]:
        services.cancel(tunnel, owner)
    with pytest.raises(services.Refused, match="The limit is 2 deletions of an account in one"):
        services.cancel(tunnels[2], owner)


def test_s9_the_quota_is_a_fault_of_the_api_and_is_shown_before_it_is_hit(
    account, houston, owner, owners_program, client
):
    allow(account, max_tunnels=1)
    client.force_login(owner)
    shown = " ".join(read(client.get(reverse("order"))).itertext())
    assert "0 of 1" in shown
    services.order(account, houston, owner)
    refusal = FULL.format(1, "tunnels", "Delete a tunnel that is not needed")

    for method in ("verifyOrder", "placeOrder"):
        order = {"complexType": CONTAINER, "location": "hou02", "prices": [{"id": PRICE}]}
        fault = owners_program.fault(f"SoftLayer_Product_Order.{method}", order)
        assert (fault.code, fault.text, fault.status) == (
            "SoftLayer_Exception_Public",
            refusal,
            400,
        )

    page = client.get(reverse("order"))
    assert refusal in " ".join(read(page).itertext())
    accounts = " ".join(" ".join(read(client.get(reverse("accounts"))).itertext()).split())
    assert "Tunnels 1 of 1" in accounts


def test_s9_the_preview_of_an_import_says_that_the_quota_is_too_small(ready, page, account):
    allow(account, max_translations=2)
    rows = "10.1.255.93,192.168.10.16,a\n10.1.255.94,192.168.10.17,b"

    shown = page.post(reverse("preview-translations", args=[ready.pk]), {"rows": rows})

    text = " ".join(" ".join(read(shown).itertext()).split())
    assert "This account has 1 of 2 translations, and this would add 2. Delete trans" in text
    assert "The account has 1 of 2 translations." in text
    assert not ready.translations.filter(internal_address="10.1.255.93").exists()


def test_s9_an_operator_changes_a_quota_and_sees_what_is_in_use(account, tunnel, client):
    client.force_login(User.objects.create_superuser("otto"))
    url = reverse("admin:vpnportal_account_change", args=[account.pk])
    assert "1 tunnels" in " ".join(read(client.get(url)).itertext())
    form = {
        "name": account.name,
        "max_tunnels": "7",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    client.post(url, form)

    assert services.quota_use(account.pk, Quota.TUNNELS).limit == 7
