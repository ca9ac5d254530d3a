"""One thing done to several tunnels of the list, and what a list that is open hears of it."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from tests.tunnel_list_page import counts, links, listed, rows, text_of
from vpnportal import services
from vpnportal.models import Account, Concentrator, Membership, Revision, Tunnel
from vpnportal.reconciler import reconcile

LIST = reverse("tunnels")


def do(browser, name: str, *tunnels: Tunnel, **query: object):
    data = {"do": name, "tunnel": [one.pk for one in tunnels]}
    return browser.post(reverse("several", query=query), data, follow=True)


def results(answer) -> list[str]:
    return [text_of(e) for e in part(answer, "results").iter("li")]


def test_several_are_applied_each_by_itself_and_each_says_how_it_went(
    ready, tunnel, second_tunnel, account, concentrator, user, page
):
    services.apply(second_tunnel, user)
    unready = make_tunnel(account, concentrator, "ipsec003", customer="192.168.40.0/24")

    answer = do(page, "apply", ready, second_tunnel, unready, sort="-name", page=1)

    assert answer.redirect_chain == [(f"{LIST}?sort=-name&page=1#results", 302)]
    assert results(answer) == [
        "ipsec001: Revision 1 is on its way to the concentrator.",
        "ipsec002: refused. The configuration is being applied right now: nothing was changed. "
        "Enter it again in a moment, when the result is here.",
        "ipsec003: refused. Remote Peer Address: Enter the static address of the customer's VPN "
        "device. Preshared Key: Enter the preshared key. Protected private (hosted) "
        "subnets: Select at least one hosted subnet for the tunnel.",
    ]
    assert text_of(part(answer, "results-title")) == "Apply Configurations: 1 of 3 done"
    assert links(answer)["Preshared Key"] == f"/tunnels/{unready.pk}/#id_preshared_key"
    assert [r.tunnel.name for r in Revision.objects.order_by("pk")] == ["ipsec002", "ipsec001"]
    assert not any(e.get("id") == "results" for e in read(page.get(LIST)).iter()), "told once"


def test_several_are_disconnected_and_connected(ready, second_tunnel, user, page, gateway):
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)

    off = results(do(page, "disconnect", ready, second_tunnel))
    reconcile.converge(ready.concentrator_id, ready.pk)
    Concentrator.objects.update(seen_at=timezone.now())
    between = rows(page.get(LIST))["ipsec001"][1]
    on = results(do(page, "connect", ready))

    assert off == [
        "ipsec001: The concentrator is told to disconnect it.",
        "ipsec002: refused. Nothing of this tunnel is on the concentrator yet: apply it first.",
    ]
    assert between == "disconnected"
    assert on == ["ipsec001: The concentrator is told to connect it."]
    assert Tunnel.objects.get(pk=ready.pk).disconnected_at is None


def test_a_tunnel_that_was_cancelled_meanwhile_is_refused_in_words(
    ready, second_tunnel, user, page
):
    services.cancel(ready, user)

    assert results(do(page, "apply", ready, second_tunnel)) == [
        "ipsec001: refused. This tunnel was cancelled: it cannot be changed or applied any more.",
        "ipsec002: Revision 1 is on its way to the concentrator.",
    ]


def test_nothing_selected_is_said(tunnel, page):
    assert "Select at least one tunnel first." in words(do(page, "apply"), "live")


@pytest.mark.parametrize("name", ["", "cancel", "delete", "__class__"])
def test_a_button_that_is_not_there_does_nothing(second_tunnel, page, name):
    assert do(page, name, second_tunnel).status_code == 400
    assert not Revision.objects.exists()


def test_a_person_may_do_in_each_account_what_the_role_there_allows(
    ready, user, page, concentrator, stranger
):
    page.force_login(user)
    other = Account.objects.create(name="Watched account")
    Membership.objects.create(account=other, user=user, role="viewer")
    watched = make_tunnel(other, concentrator, "ipsec007")
    strange = make_tunnel(Account.objects.get(name="Another account"), concentrator, "ipsec008")

    answer = page.get(LIST)
    boxes = [e.get("value") for e in read(answer).iter("input") if e.get("name") == "tunnel"]

    assert listed(answer) == ["ipsec001", "ipsec007"]
    assert boxes == [str(ready.pk)]
    for one in (watched, strange):
        assert do(page, "apply", ready, one).status_code == 404
    assert not Revision.objects.exists(), (
        "one that is not theirs stops all, before anything is done"
    )


def test_a_viewers_list_has_no_action(tunnel, viewer):
    answer = read(viewer.get(LIST))

    assert [text_of(e) for e in answer.iter("button")] == ["Sign out", "Search"]
    assert [e for e in answer.iter("input") if e.get("type") == "checkbox"] == []


def test_all_on_a_page_can_be_selected_without_javascript(ready, second_tunnel, page):
    href = links(page.get(LIST))["Select all on this page"]

    boxes = [e for e in read(page.get(href)).iter("input") if e.get("name") == "tunnel"]

    assert ["checked" in e.attrib for e in boxes] == [True, True]


# What is new


def poll(page, answer):
    """What the page asks by itself: its view, its rows, and its counts."""
    named = ("row", "counted")
    inputs = [e for e in read(answer).iter("input") if e.get("name") in named]
    query = {name: [e.get("value") for e in inputs if e.get("name") == name] for name in named}
    return page.get(part(answer, "news").get("hx-get"), query, headers={"HX-Request": "true"})


def parts(answer) -> set[str]:
    return {e.get("id") for e in read(answer).iter() if e.get("hx-swap-oob")}


def test_a_page_that_shows_everything_already_is_told_nothing_and_else_only_what_changed(
    ready, second_tunnel, user, page
):
    Concentrator.objects.update(seen_at=timezone.now())
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    shown = page.get(LIST)
    assert poll(page, shown).status_code == 204
    assert part(shown, "news").get("hx-trigger") == "every 5s"

    Tunnel.objects.filter(pk=second_tunnel.pk).update(sa_status="up")
    answer = poll(page, shown)

    pk = second_tunnel.pk
    assert parts(answer) == {"news", "counts", f"state-{pk}", f"changes-{pk}", f"applied-{pk}"}
    assert words(answer, f"state-{pk}") == "Up"


NEWS = {
    "an edit": lambda one, user: services.edit(one, "phase_one_keylife", 7200, user),
    "a second edit": lambda one, user: services.edit(one, "phase_two_keylife", 7200, user),
    "an apply": lambda one, user: services.apply(one, user),
    "a disconnect": lambda one, user: services.disconnect(one, user),
    "a cancellation": lambda one, user: services.cancel(one, user),
    "an outcome": lambda one, user: Revision.objects.update(outcome="failed"),
    "an association": lambda one, user: Tunnel.objects.update(sa_status="down"),
    "out of sight": lambda one, user: Concentrator.objects.update(seen_at=None),
}


@pytest.mark.parametrize("news", NEWS.values(), ids=NEWS)
def test_whatever_a_row_tells_is_news(second_tunnel, user, page, news):
    Concentrator.objects.update(seen_at=timezone.now())
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    services.edit(second_tunnel, "phase_two_group", 14, user)
    Tunnel.objects.update(sa_status="up")
    shown = page.get(LIST)

    news(second_tunnel, user)

    assert f"state-{second_tunnel.pk}" in parts(poll(page, shown))


def test_the_page_asks_every_second_while_something_is_being_applied(second_tunnel, user, page):
    services.apply(second_tunnel, user)

    assert part(page.get(LIST), "news").get("hx-trigger") == "every 1s"


def test_a_stranger_who_asks_for_rows_learns_nothing_of_them(second_tunnel, user, stranger):
    services.apply(second_tunnel, user)
    rows = [f"{second_tunnel.pk}.x", "1.", "nonsense", f"{'9' * 30}.x"]
    answer = stranger.get(reverse("news"), {"row": rows})

    assert parts(answer) == {"news", "counts"}
    assert counts(answer) == {"all": 0}
    assert part(answer, "news").get("hx-trigger") == "every 5s", "nor that one is being applied"


def test_nothing_on_the_list_is_made_of_a_key(ready, user, page):
    services.apply(ready, user)
    digests = [Tunnel.objects.get(pk=ready.pk).draft_digest, Revision.objects.get().digest]

    text = page.get(LIST).content.decode()

    assert not [one for one in digests if one[:8] in text]
