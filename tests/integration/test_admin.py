"""The Django admin of service operators: concentrators, subnets, accounts, tunnels, users."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.html import part, read
from vpnportal.admin import concentrators
from vpnportal.models import AddressPool, Concentrator, Subnet, Tunnel
from vpnportal.services.memberships import LAST_OWNER

pytestmark = pytest.mark.django_db
MODELS = ("datacenter", "concentrator", "subnet", "account", "tunnel", "networkgrant")


@pytest.fixture
def operator(db) -> Client:
    """Return a browser of a service operator without an account."""
    otto = User.objects.create_superuser("otto", password="a password for the tests")
    client = Client()
    client.force_login(otto)
    return client


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_searches_and_opens_each_kind_of_row(operator, ready, name):
    changelist = operator.get(reverse(f"admin:vpnportal_{name}_changelist"), {"q": "a"})
    assert changelist.status_code == 200
    model = {model.__name__.lower(): model for model in (Concentrator, Subnet, Tunnel)}.get(name)
    if model:
        pk = model.objects.first().pk
        url = reverse(f"admin:vpnportal_{name}_change", args=[pk])
        assert operator.get(url).status_code == 200


@pytest.mark.parametrize("name", MODELS)
def test_a_customer_gets_404(page, name):
    url = reverse(f"admin:vpnportal_{name}_changelist")

    assert page.get(url, follow=True).status_code == 404
    assert Client().get(url, follow=True).redirect_chain[-1][0].startswith("/sign-in/")


def test_the_page_of_a_tunnel_contains_neither_its_key_nor_the_encrypted_key(operator, ready):
    url = reverse("admin:vpnportal_tunnel_change", args=[ready.pk])

    html = operator.get(url).content.decode()

    assert "a key" not in html
    assert ready.preshared_key.token not in html


def test_the_page_of_a_tunnel_shows_the_label_of_its_sa_status(operator, ready):
    Tunnel.objects.filter(pk=ready.pk).update(sa_status="partial")

    html = operator.get(reverse("admin:vpnportal_tunnel_change", args=[ready.pk])).content.decode()

    assert "SA status" in html
    assert "Degraded" in html


def test_the_form_of_a_subnet_explains_an_empty_account(operator):
    form = operator.get(reverse("admin:vpnportal_subnet_add"))

    help_text = part(form, "id_account_helptext")
    assert "".join(help_text.itertext()).strip() == (
        "Leave empty for a provider service that every account may reach."
    )


def field_errors(response) -> list[str]:
    lists = [ul for ul in read(response).iter("ul") if "errorlist" in ul.get("class", "")]
    return ["".join(ul.itertext()).strip() for ul in lists]


def test_the_error_of_a_malformed_network_contains_the_correct_network(operator, account):
    url = reverse("admin:vpnportal_subnet_add")
    entered = {"account": account.pk, "kind": "hosted", "network": "10.9.0.5/24"}

    response = operator.post(url, entered)

    assert field_errors(response) == ["10.9.0.5/24 has host bits set. Did you mean 10.9.0.0/24?"]
    assert not Subnet.objects.filter(first=0x0A090000).exists()


def test_provider_subnets_do_not_overlap(operator, account, tunnel):
    url = reverse("admin:vpnportal_subnet_add")

    response = operator.post(
        url, {"account": account.pk, "kind": "hosted", "network": "10.2.0.128/25"}
    )

    text = "10.2.0.128/25 overlaps 10.2.0.0/24, which is in use already: enter a free network."
    assert field_errors(response) == [text]
    operator.post(url, {"account": account.pk, "kind": "hosted", "network": "10.9.0.0/24"})
    assert Subnet.objects.filter(first=0x0A090000).exists()


def test_a_service_subnet_without_an_account_is_offered_to_every_account(operator, tunnel):
    houston = tunnel.concentrator.datacenter
    entered = {
        "kind": "service",
        "network": "10.0.80.0/24",
        "datacenter": houston.pk,
        "name": "DNS",
    }

    operator.post(reverse("admin:vpnportal_subnet_add"), entered)

    offered = Subnet.objects.offered_to(tunnel).filter(kind="service")
    assert [(subnet.account, str(subnet.network)) for subnet in offered] == [(None, "10.0.80.0/24")]


def test_a_tunnel_can_be_moved_and_not_deleted(operator, ready, concentrator):
    other = Concentrator.objects.create(
        name="vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network="203.0.113.32/28")
    move = reverse("admin:vpnportal_tunnel_move", args=[ready.pk])

    assert operator.post(move, {"concentrator": concentrator.pk}).status_code == 200
    assert operator.post(move, {"concentrator": other.pk}).status_code == 302

    tunnel = Tunnel.objects.get(pk=ready.pk)
    assert (tunnel.concentrator, tunnel.hosted_peer) == (other, "203.0.113.33")
    delete = reverse("admin:vpnportal_tunnel_delete", args=[ready.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403


def test_staff_without_the_permission_cannot_move_a_tunnel(ready, concentrator):
    stan = User.objects.create_user("stan", password="x", is_staff=True)
    client = Client()
    client.force_login(stan)

    response = client.post(
        reverse("admin:vpnportal_tunnel_move", args=[ready.pk]), {"concentrator": concentrator.pk}
    )

    assert response.status_code == 403


def test_the_page_of_a_concentrator_leaves_what_another_process_wrote_since_it_was_read(
    operator, concentrator, monkeypatch
):
    def write(*_):
        Concentrator.objects.update(envelope_key="of the new gateway", unreachable_reason="away")

    monkeypatch.setattr(concentrators, "lock_concentrators", write)
    form = {"datacenter": concentrator.datacenter_id, "public_address": "203.0.113.77"}
    form |= {"pools-TOTAL_FORMS": 1, "pools-INITIAL_FORMS": 0}
    form |= {"pools-0-kind": "static-nat", "pools-0-network": "10.150.0.0/24"}
    url = reverse("admin:vpnportal_concentrator_change", args=[concentrator.pk])

    assert operator.post(url, form).status_code == 302

    row = Concentrator.objects.get()
    assert (row.public_address, row.pools.count()) == ("203.0.113.77", 1)
    assert (row.envelope_key, row.unreachable_reason) == ("of the new gateway", "away")


@pytest.fixture
def members(account, user, bob):
    """Return the form of an account with an owner (ada) and an operator (bob)."""
    account.memberships.all().delete()
    rows = [account.memberships.create(user=user, role="owner")]
    rows.append(account.memberships.create(user=bob, role="operator"))
    form = {"name": account.name, "memberships-TOTAL_FORMS": 2, "memberships-INITIAL_FORMS": 2}
    for number, row in enumerate(rows):
        fields = {"id": row.pk, "account": account.pk, "user": row.user_id, "role": row.role}
        form |= {f"memberships-{number}-{name}": value for name, value in fields.items()}
    return form


@pytest.mark.parametrize(
    "change", [{"memberships-0-role": "viewer"}, {"memberships-0-DELETE": "on"}], ids=str
)
def test_the_last_owner_stays_until_another_member_is_owner(operator, account, members, change):
    url = reverse("admin:vpnportal_account_change", args=[account.pk])

    def owners() -> list[str]:
        memberships = account.memberships.filter(role="owner")
        return sorted(membership.user.username for membership in memberships)

    before, refused = owners(), operator.post(url, members | change)

    assert LAST_OWNER in field_errors(refused)
    assert owners() == before
    assert operator.post(url, members | change | {"memberships-1-role": "owner"}).status_code == 302
    assert owners() == ["bob"]


@pytest.mark.parametrize("in_bulk", [False, True], ids=["single", "bulk"])
def test_the_last_owner_of_an_account_cannot_be_deleted(
    operator, account, members, user, bob, in_bulk
):
    if in_bulk:
        url = reverse("admin:auth_user_changelist")
        form = {"action": "delete_selected", "_selected_action": [user.pk, bob.pk], "post": "yes"}
    else:
        url, form = reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"}

    refused = operator.post(url, form)

    assert f"{account}, which would have no owner" in refused.content.decode()
    assert User.objects.filter(pk__in=[user.pk, bob.pk]).count() == 2
    User.objects.create_user("cleo").memberships.create(account=account, role="owner")
    assert operator.post(url, form).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()
