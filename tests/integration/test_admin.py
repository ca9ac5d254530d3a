"""The operators' admin: places, subnets and accounts; no draft, no key, and nobody else's."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.html import part, read
from vpnportal.models import AddressPool, Concentrator, Subnet, Tunnel
from vpnportal.services.memberships import LAST_OWNER

pytestmark = pytest.mark.django_db
MODELS = ("datacenter", "concentrator", "subnet", "account", "tunnel")


@pytest.fixture
def operator(db) -> Client:
    """A browser of an operator of the service, who belongs to no account."""
    person = User.objects.create_superuser("otto", password="a password for the tests")
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_finds_and_opens_each_kind(operator, ready, name):
    listed = operator.get(reverse(f"admin:vpnportal_{name}_changelist"), {"q": "a"})
    assert listed.status_code == 200
    model = {one.__name__.lower(): one for one in (Concentrator, Subnet, Tunnel)}.get(name)
    if model:
        one = model.objects.first().pk
        url = reverse(f"admin:vpnportal_{name}_change", args=[one])
        assert operator.get(url).status_code == 200


@pytest.mark.parametrize("name", MODELS)
def test_a_customer_finds_no_such_page(page, name):
    url = reverse(f"admin:vpnportal_{name}_changelist")

    assert page.get(url, follow=True).status_code == 404
    assert Client().get(url, follow=True).redirect_chain[-1][0].startswith("/sign-in/")


def test_neither_key_nor_seal_is_on_a_tunnels_page(operator, ready):
    url = reverse("admin:vpnportal_tunnel_change", args=[ready.pk])

    shown = operator.get(url).content.decode()

    assert "a key" not in shown
    assert ready.preshared_key.token not in shown


def test_a_form_says_what_leaving_an_account_empty_means(operator):
    form = operator.get(reverse("admin:vpnportal_subnet_add"))

    help = part(form, "id_account_helptext")
    assert "".join(help.itertext()).split()[:2] == ["None", "makes"]


def told(answer) -> list[str]:
    """The errors beside the fields."""
    lists = [one for one in read(answer).iter("ul") if "errorlist" in one.get("class", "")]
    return ["".join(one.itertext()).strip() for one in lists]


def test_an_ill_formed_network_is_told_what_would_be_right(operator, account):
    url = reverse("admin:vpnportal_subnet_add")
    typed = {"account": account.pk, "kind": "hosted", "network": "10.9.0.5/24"}

    answer = operator.post(url, typed)

    assert told(answer) == ["10.9.0.5/24 has host bits set. Did you mean 10.9.0.0/24?"]
    assert not Subnet.objects.filter(first=0x0A090000).exists()


def test_a_provider_network_is_given_once(operator, account, tunnel):
    url = reverse("admin:vpnportal_subnet_add")

    answer = operator.post(
        url, {"account": account.pk, "kind": "hosted", "network": "10.2.0.128/25"}
    )

    text = "10.2.0.128/25 overlaps 10.2.0.0/24, which is given already: enter a free network."
    assert told(answer) == [text]
    operator.post(url, {"account": account.pk, "kind": "hosted", "network": "10.9.0.0/24"})
    assert Subnet.objects.filter(first=0x0A090000).exists()


def test_a_service_of_the_provider_is_offered_to_every_account(operator, tunnel):
    houston = tunnel.concentrator.datacenter
    typed = {"kind": "service", "network": "10.0.80.0/24", "datacenter": houston.pk, "name": "DNS"}

    operator.post(reverse("admin:vpnportal_subnet_add"), typed)

    offered = Subnet.objects.offered_to(tunnel).filter(kind="service")
    assert [(one.account, str(one.network)) for one in offered] == [(None, "10.0.80.0/24")]


def test_a_tunnel_is_moved_and_cannot_be_edited_or_deleted(operator, ready, concentrator):
    other = Concentrator.objects.create(
        name="vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network="203.0.113.32/28")
    move = reverse("admin:vpnportal_tunnel_move", args=[ready.pk])

    assert operator.post(move, {"concentrator": concentrator.pk}).status_code == 200
    assert operator.post(move, {"concentrator": other.pk}).status_code == 302

    moved = Tunnel.objects.get(pk=ready.pk)
    assert (moved.concentrator, moved.hosted_peer) == (other, "203.0.113.33")
    delete = reverse("admin:vpnportal_tunnel_delete", args=[ready.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403


def test_staff_without_the_permission_moves_nothing(ready, concentrator):
    person = User.objects.create_user("stan", password="x", is_staff=True)
    client = Client()
    client.force_login(person)

    answer = client.post(
        reverse("admin:vpnportal_tunnel_move", args=[ready.pk]), {"concentrator": concentrator.pk}
    )

    assert answer.status_code == 403


@pytest.fixture
def members(account, user, bob):
    """What an operator's form sends for an account of an owner and an operator."""
    account.memberships.all().delete()
    rows = [account.memberships.create(user=user, role="owner")]
    rows.append(account.memberships.create(user=bob, role="operator"))
    form = {"name": account.name, "memberships-TOTAL_FORMS": 2, "memberships-INITIAL_FORMS": 2}
    for at, row in enumerate(rows):
        one = {"id": row.pk, "account": account.pk, "user": row.user_id, "role": row.role}
        form |= {f"memberships-{at}-{name}": value for name, value in one.items()}
    return form


@pytest.mark.parametrize(
    "change", [{"memberships-0-role": "viewer"}, {"memberships-0-DELETE": "on"}], ids=str
)
def test_the_last_owner_stays_until_somebody_else_is_one(operator, account, members, change):
    url = reverse("admin:vpnportal_account_change", args=[account.pk])

    def owners() -> list[str]:
        return sorted(one.user.username for one in account.memberships.filter(role="owner"))

    before, refused = owners(), operator.post(url, members | change)

    assert LAST_OWNER in told(refused)
    assert owners() == before
    assert operator.post(url, members | change | {"memberships-1-role": "owner"}).status_code == 302
    assert owners() == ["bob"]


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_an_accounts_last_owner_is_not_deleted(operator, account, members, user, bob, several):
    if several:
        url = reverse("admin:auth_user_changelist")
        asked = {"action": "delete_selected", "_selected_action": [user.pk, bob.pk], "post": "yes"}
    else:
        url, asked = reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"}

    refused = operator.post(url, asked)

    assert f"{account}, which would have no owner" in refused.content.decode()
    assert User.objects.filter(pk__in=[user.pk, bob.pk]).count() == 2
    User.objects.create_user("cleo").memberships.create(account=account, role="owner")
    assert operator.post(url, asked).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()
