"""Owners order tunnels and cancel them from pages; nobody else does."""

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
    """A browser of somebody who owns the account."""
    Membership.objects.update(role=Role.OWNER)
    client.force_login(user)
    return client


@pytest.fixture
def houston(concentrator) -> Datacenter:
    """Two hosted peer addresses and two static NAT subnets are left there."""
    for kind, network in (("hosted-peer", "198.51.100.0/30"), ("static-nat", "10.1.9.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator.datacenter


def filled(browser, location: Datacenter | str, **more: object) -> dict[str, object]:
    """The form of a fresh page with a location chosen."""
    shown = browser.get(ORDER)
    chosen = location.pk if isinstance(location, Datacenter) else location
    return {
        "key": typed(shown, "key"),
        "account": typed(shown, "account"),
        "location": chosen,
        **more,
    }


def told(answer) -> list[str]:
    """What stands beside each location."""
    found = {e.get("id"): e for e in read(answer).iter("span")}
    return [
        "".join(e.itertext()).strip() for id, e in found.items() if (id or "").startswith("free-")
    ]


def test_an_order_opens_the_new_tunnel_and_names_what_was_assigned_and_what_comes_next(
    owner, houston
):
    answer = owner.post(ORDER, filled(owner, houston), follow=True)

    tunnel = Tunnel.objects.get()
    assert answer.redirect_chain == [(f"/tunnels/{tunnel.pk}/", 302)]
    assert words(answer, "live") == (
        "ipsec001 was ordered for Example account in Houston 2. It was assigned the Hosted Peer "
        "Address 198.51.100.1 and the static NAT subnet 10.1.9.0/30. Enter the Remote Peer "
        "Address and a Preshared Key next."
    )


def test_the_same_form_sent_twice_orders_one_tunnel_and_a_fresh_one_another(owner, houston):
    form = filled(owner, houston)

    first, again = owner.post(ORDER, form), owner.post(ORDER, form)
    owner.post(ORDER, filled(owner, houston))

    assert first.headers["Location"] == again.headers["Location"]
    assert Tunnel.objects.count() == 2
    assert "no-store" in owner.get(ORDER).headers["Cache-Control"], "going back is a fresh form"


def test_the_key_of_somebody_elses_order_orders_ones_own(owner, houston, user):
    form = filled(owner, houston)
    eve = User.objects.create_user("eve")
    strange = Account.objects.create(name="Strange account")
    theirs = services.order(strange, houston, eve, form["key"])

    answer = owner.post(ORDER, form, follow=True)

    assert [one.account.name for one in Tunnel.objects.order_by("pk")] == [
        "Strange account",
        "Example account",
    ]
    assert answer.redirect_chain[0][0] != f"/tunnels/{theirs.pk}/"


def test_a_location_tells_whether_it_is_free_and_what_is_used_up_but_no_numbers(owner, houston):
    Datacenter.objects.create(name="dal05", long_name="Dallas 5")

    assert told(owner.get(ORDER)) == [
        "There is no concentrator in Dallas 5 yet. "
        "Ask the operators of the service for more, or choose another location.",
        "available",
    ]


def test_a_pool_that_is_used_up_meanwhile_is_told_and_keeps_what_was_chosen(owner, houston, user):
    forms = [filled(owner, houston) for _ in range(3)]

    answers = [owner.post(ORDER, form) for form in forms]

    sentence = (
        "No hosted peer address is left in Houston 2. "
        "Ask the operators of the service for more, or choose another location."
    )
    assert [one.status_code for one in answers] == [302, 302, 422]
    assert sentence in words(answers[2], "note-location")
    assert told(answers[2]) == [sentence]
    assert typed(answers[2], "key") == forms[2]["key"]
    assert Tunnel.objects.count() == 2


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"location": ""}, "Choose a location."),
        ({"location": "99"}, "Choose a location."),
        ({"location": "1 OR 1=1"}, "Choose a location."),
        ({"key": ""}, "Load this page again."),
        ({"key": "nonsense"}, "Load this page again."),
    ],
)
def test_a_wrong_order_is_explained_and_orders_nothing(owner, houston, wrong, sentence):
    answer = owner.post(ORDER, {**filled(owner, houston), **wrong})

    assert answer.status_code == 422
    assert sentence in words(answer, "main")
    assert not Tunnel.objects.exists()


def test_an_order_for_an_account_that_one_does_not_own_orders_nothing(owner, houston, user):
    watched = Account.objects.create(name="Watched account")
    Membership.objects.create(account=watched, user=user, role="operator")
    strange = Account.objects.create(name="Strange account")

    for account in (watched, strange):
        answer = owner.post(ORDER, filled(owner, houston, account=account.pk))
        assert answer.status_code == 422
        assert account.name not in words(answer, "main")
    assert not Tunnel.objects.exists()


def test_somebody_who_owns_several_accounts_chooses_one(owner, houston, user):
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

    answer = getattr(client, method)(ORDER, {"location": houston.pk, "key": uuid4()})

    allowed = {"get": 200, "post": 422}[method]
    assert answer.status_code == (allowed if role == "owner" else 404)
    assert not Tunnel.objects.exists()


# Cancel


def cancel_url(tunnel: Tunnel) -> str:
    return reverse("cancel", args=[tunnel.pk])


@pytest.fixture
def live(ready, user, gateway) -> Tunnel:
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    return ready


def test_a_cancellation_says_what_stops_and_what_stays_and_is_linked_from_the_page(owner, live):
    page = read(owner.get(reverse("tunnel", args=[live.pk])))
    text = words(owner.get(cancel_url(live)), "main")

    assert cancel_url(live) in [e.get("href") for e in page.iter("a")]
    assert "Hosted Peer Address 203.0.113.1 and the static NAT subnet 10.1.255.92/30" in text
    assert "The tunnel between 203.0.113.1 and 203.0.113.2" in text
    assert "this tunnel's page with its history" in text


@pytest.mark.parametrize("name", ["", "ipsec002", "IPSEC001", "ipsec00"])
def test_a_name_that_is_not_the_tunnels_cancels_nothing_and_stays_typed(owner, live, name):
    answer = owner.post(cancel_url(live), {"name": name})

    assert answer.status_code == 422
    assert words(answer, "note-name") == "Enter ipsec001, exactly so. Nothing was cancelled."
    assert typed(answer, "name") == name
    assert Tunnel.objects.get(pk=live.pk).cancelled_at is None


def test_a_cancelled_tunnel_is_taken_off_and_its_page_can_be_looked_at_and_not_changed(
    owner, live, gateway
):
    answer = owner.post(cancel_url(live), {"name": " ipsec001 "}, follow=True)
    assert "ipsec001 was cancelled." in words(answer, "live")
    assert "Being deleted" in words(answer, "main")

    reconcile.converge(live.concentrator_id)
    shown = owner.get(reverse("tunnel", args=[live.pk]))

    assert gateway.connections == {}
    assert "This tunnel was cancelled: you may look at it" in words(shown, "main")
    assert "Cancel this tunnel" not in words(shown, "main")
    assert [e.get("name") for e in read(shown).iter("input") if enabled(e)] == []
    assert [r.outcome for r in Revision.objects.all()] == ["withdrawn"]


def enabled(element) -> bool:
    return element.get("type") != "hidden" and "disabled" not in element.attrib


REFUSED = "This tunnel was cancelled"
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
def test_an_edit_of_a_page_that_was_open_when_it_was_cancelled_is_refused_in_words(
    owner, live, user, route, data, headers
):
    services.cancel(live, user)

    answer = owner.post(reverse(route, args=[live.pk]), data, headers=headers)

    assert answer.status_code == 422
    assert REFUSED in " ".join("".join(read(answer).itertext()).split())
    assert Tunnel.objects.get(pk=live.pk).friendly_name == ""


def test_a_tunnel_that_is_being_applied_is_not_cancelled(owner, live, user):
    services.apply(live, user)

    answer = owner.post(cancel_url(live), {"name": "ipsec001"})

    assert answer.status_code == 423
    assert "is being applied right now" in words(answer, "note-name")


def test_cancelled_twice_is_cancelled_once_and_told(owner, live):
    owner.post(cancel_url(live), {"name": "ipsec001"})

    answer = owner.post(cancel_url(live), {"name": "ipsec001"}, follow=True)

    assert "ipsec001 was cancelled already." in words(answer, "live")
    assert live.releases.count() == 1


@pytest.mark.parametrize("role", ["viewer", "operator", None])
def test_only_owners_cancel(live, user, client, role):
    Membership.objects.update(role=role) if role else Membership.objects.all().delete()
    client.force_login(user)

    answers = [client.get(cancel_url(live)), client.post(cancel_url(live), {"name": "ipsec001"})]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert Tunnel.objects.get(pk=live.pk).cancelled_at is None
    if role:
        page = read(client.get(reverse("tunnel", args=[live.pk])))
        assert cancel_url(live) not in [e.get("href") for e in page.iter("a")]


def test_an_owner_of_one_account_cancels_nothing_of_another(owner, live, concentrator, user):
    watched = Account.objects.create(name="Watched account")
    Membership.objects.create(account=watched, user=user, role="viewer")
    theirs = make_tunnel(watched, concentrator, "ipsec007")

    assert owner.post(cancel_url(theirs), {"name": "ipsec007"}).status_code == 404
    assert Tunnel.objects.get(pk=theirs.pk).cancelled_at is None
