"""The pages that order and delete a tunnel, for account owners only."""

from __future__ import annotations

from ipaddress import IPv4Network
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.html import part, read, typed, words
from tests.integration.conftest import make_tunnel
from vpnportal import services
from vpnportal.models import Account, AddressPool, Datacenter, Membership, Revision, Role, Tunnel
from vpnportal.reconciler import reconcile

ORDER = reverse("order")


@pytest.fixture
def owner(user, client):
    """Return a browser of an owner of the account."""
    Membership.objects.update(role=Role.OWNER)
    client.force_login(user)
    return client


@pytest.fixture
def houston(concentrator) -> Datacenter:
    """Return a data center with two free hosted peer addresses and two free static NAT subnets."""
    for kind, network in (("hosted-peer", "198.51.100.0/30"), ("static-nat", "10.1.9.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator.datacenter


def order_form(browser, location: Datacenter, **fields: object) -> dict[str, object]:
    """Return the fields of a new form with this location."""
    page = browser.get(ORDER)
    return {
        "key": typed(page, "key"),
        "account": typed(page, "account"),
        "location": location.pk,
        **fields,
    }


def availability(response) -> list[str]:
    """Return the text beside each location."""
    spans = [e for e in read(response).iter("span") if (e.get("id") or "").startswith("free-")]
    return ["".join(span.itertext()).strip() for span in spans]


def test_an_order_opens_the_new_tunnel_with_its_addresses_and_the_next_step(owner, houston):
    response = owner.post(ORDER, order_form(owner, houston), follow=True)

    tunnel = Tunnel.objects.get()
    assert response.redirect_chain == [(f"/tunnels/{tunnel.pk}/", 302)]
    assert words(response, "live") == (
        "Ordered ipsec001 for Example account in Houston 2. Its Hosted Peer Address is "
        "198.51.100.1, its static NAT subnet is 10.1.9.0/30. Enter the Remote Peer Address and a "
        "Preshared Key next."
    )


def test_a_form_sent_twice_orders_a_single_tunnel_and_a_new_form_another_tunnel(owner, houston):
    form = order_form(owner, houston)

    first, second = owner.post(ORDER, form), owner.post(ORDER, form)
    owner.post(ORDER, order_form(owner, houston))

    assert first.headers["Location"] == second.headers["Location"]
    assert Tunnel.objects.count() == 2
    assert "no-store" in owner.get(ORDER).headers["Cache-Control"], "going back loads a new form"


def test_the_order_key_of_another_user_orders_a_new_tunnel(owner, houston, user):
    form = order_form(owner, houston)
    eve = User.objects.create_user("eve")
    foreign = Account.objects.create(name="Strange account")
    first = services.order(foreign, houston, eve, form["key"])

    response = owner.post(ORDER, form, follow=True)

    assert [tunnel.account.name for tunnel in Tunnel.objects.order_by("pk")] == [
        "Strange account",
        "Example account",
    ]
    assert response.redirect_chain[0][0] != f"/tunnels/{first.pk}/"


def test_a_location_is_available_or_names_the_missing_resource(owner, houston):
    Datacenter.objects.create(name="dal05", long_name="Dallas 5")

    assert availability(owner.get(ORDER)) == [
        "There is no concentrator in Dallas 5 yet. "
        "Ask the operators of the service for more, or choose another location.",
        "Available",
    ]


def test_an_order_without_a_free_address_is_explained_and_the_form_stays_filled(
    owner, houston, user
):
    forms = [order_form(owner, houston) for _ in range(3)]

    responses = [owner.post(ORDER, form) for form in forms]

    text = (
        "No hosted peer address is left in Houston 2. "
        "Ask the operators of the service for more, or choose another location."
    )
    assert [response.status_code for response in responses] == [302, 302, 422]
    assert text in words(responses[2], "note-location")
    assert availability(responses[2]) == [text]
    assert typed(responses[2], "key") == forms[2]["key"]
    assert Tunnel.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"location": ""}, "Choose a location."),
        ({"location": "99"}, "Choose a location."),
        ({"location": "1 OR 1=1"}, "Choose a location."),
        ({"key": ""}, "Reload this page."),
        ({"key": "nonsense"}, "Reload this page."),
    ],
)
def test_an_invalid_order_is_explained_and_orders_nothing(owner, houston, fields, text):
    response = owner.post(ORDER, {**order_form(owner, houston), **fields})

    assert response.status_code == 422
    assert text in words(response, "main")
    assert not Tunnel.objects.exists()


def test_an_order_for_an_account_of_another_owner_orders_nothing(owner, houston, user):
    watched = Account.objects.create(name="Watched account")
    Membership.objects.create(account=watched, user=user, role="operator")
    foreign = Account.objects.create(name="Strange account")

    for account in (watched, foreign):
        response = owner.post(ORDER, order_form(owner, houston, account=account.pk))
        assert response.status_code == 422
        assert account.name not in words(response, "main")
    assert not Tunnel.objects.exists()


def test_an_owner_of_two_accounts_chooses_an_account(owner, houston, user):
    other = Account.objects.create(name="Another account")
    Membership.objects.create(account=other, user=user, role="owner")
    form = {"key": uuid4(), "account": other.pk, "location": houston.pk}

    names = [e.text for e in part(owner.get(ORDER), "id_account").iter("option")]
    owner.post(ORDER, form)

    assert names == ["Another account", "Example account"]
    assert Tunnel.objects.get().account == other


@pytest.mark.parametrize("role", ["viewer", "operator", "owner", None])
@pytest.mark.parametrize("method", ["get", "post"])
def test_only_owners_order(houston, user, client, role, method):
    Membership.objects.update(role=role) if role else Membership.objects.all().delete()
    client.force_login(user)

    response = getattr(client, method)(ORDER, {"location": houston.pk, "key": uuid4()})

    allowed = {"get": 200, "post": 422}[method]
    assert response.status_code == (allowed if role == "owner" else 404)
    assert not Tunnel.objects.exists()


# Delete


def delete_url(tunnel: Tunnel) -> str:
    return reverse("cancel", args=[tunnel.pk])


@pytest.fixture
def live(ready, user, gateway) -> Tunnel:
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    return ready


def test_the_delete_page_lists_consequences_and_the_tunnel_page_links_to_it(owner, live):
    page = read(owner.get(reverse("tunnel", args=[live.pk])))
    text = words(owner.get(delete_url(live)), "main")

    assert delete_url(live) in [e.get("href") for e in page.iter("a")]
    assert "Hosted Peer Address 203.0.113.1 and the static NAT subnet 10.1.255.92/30" in text
    assert "The tunnel between 203.0.113.1 and 203.0.113.2" in text
    assert "this tunnel's page with its history" in text


@pytest.mark.parametrize("name", ["", "ipsec002", "IPSEC001", "ipsec00"])
def test_a_wrong_tunnel_id_deletes_nothing_and_stays_in_the_form(owner, live, name):
    response = owner.post(delete_url(live), {"name": name})

    assert response.status_code == 422
    assert words(response, "note-name") == "Enter ipsec001 exactly. Nothing was deleted."
    assert typed(response, "name") == name
    assert Tunnel.objects.get(pk=live.pk).cancelled_at is None


def test_a_deleted_tunnel_leaves_the_concentrator_and_its_page_is_read_only(owner, live, gateway):
    response = owner.post(delete_url(live), {"name": " ipsec001 "}, follow=True)
    assert "ipsec001 was deleted." in words(response, "live")
    assert "Being deleted" in words(response, "main")

    reconcile.converge(live.concentrator_id)
    tunnel_page = owner.get(reverse("tunnel", args=[live.pk]))

    assert gateway.connections == {}
    text = words(tunnel_page, "main")
    assert "This tunnel was deleted. It can be viewed, but not changed." in text
    assert "Delete tunnel" not in text
    assert [e.get("name") for e in read(tunnel_page).iter("input") if is_enabled(e)] == []
    assert [revision.outcome for revision in Revision.objects.all()] == ["withdrawn"]


def is_enabled(element) -> bool:
    return element.get("type") != "hidden" and "disabled" not in element.attrib


REFUSAL = "This tunnel was deleted."
EDITS = {
    "edit": {"fieldset": "general", "friendly_name": "changed", "initial-friendly_name": ""},
    "add-remote-subnet": {"ip": "192.168.77.0", "cidr": "24"},
    "translations": {"customer-10.1.255.92": "192.168.10.15"},
    "ask": {},
    "apply": {},
    "command": {"do": "connect"},
    "discard": {},
    "undo": {},
}


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
@pytest.mark.parametrize(("route", "data"), EDITS.items(), ids=EDITS)
def test_an_edit_of_a_deleted_tunnel_is_refused_with_a_reason(
    owner, live, user, route, data, headers
):
    services.cancel(live, user)

    response = owner.post(reverse(route, args=[live.pk]), data, headers=headers)

    assert response.status_code == 422
    assert REFUSAL in " ".join("".join(read(response).itertext()).split())
    assert Tunnel.objects.get(pk=live.pk).friendly_name == ""


def test_a_tunnel_cannot_be_deleted_during_an_apply(owner, live, user):
    services.apply(live, user)

    response = owner.post(delete_url(live), {"name": "ipsec001"})

    assert response.status_code == 423
    assert "Locked while revision 2 is being applied." in words(response, "note-name")


def test_a_second_delete_changes_nothing_and_says_so(owner, live):
    owner.post(delete_url(live), {"name": "ipsec001"})

    response = owner.post(delete_url(live), {"name": "ipsec001"}, follow=True)

    assert "ipsec001 was deleted already." in words(response, "live")
    assert live.releases.count() == 1


@pytest.mark.parametrize("role", ["viewer", "operator", None])
def test_only_owners_delete(live, user, client, role):
    Membership.objects.update(role=role) if role else Membership.objects.all().delete()
    client.force_login(user)

    responses = [client.get(delete_url(live)), client.post(delete_url(live), {"name": "ipsec001"})]

    assert [response.status_code for response in responses] == [404, 404]
    assert Tunnel.objects.get(pk=live.pk).cancelled_at is None
    if role:
        page = read(client.get(reverse("tunnel", args=[live.pk])))
        assert delete_url(live) not in [e.get("href") for e in page.iter("a")]


def test_an_owner_of_one_account_deletes_no_tunnel_of_another(owner, live, concentrator, user):
    watched = Account.objects.create(name="Watched account")
    Membership.objects.create(account=watched, user=user, role="viewer")
    watched_tunnel = make_tunnel(watched, concentrator, "ipsec007")

    assert owner.post(delete_url(watched_tunnel), {"name": "ipsec007"}).status_code == 404
    assert Tunnel.objects.get(pk=watched_tunnel.pk).cancelled_at is None
