"""Bulk actions of the tunnel list, and the poll that keeps an open list current."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from tests.tunnel_list_page import counts, links, rows, text_of, tunnel_ids
from vpnportal import services
from vpnportal.models import Account, Concentrator, Membership, Revision, Tunnel
from vpnportal.reconciler import reconcile

LIST = reverse("tunnels")


def run_action(browser, name: str, *tunnels: Tunnel, **query: object):
    data = {"do": name, "tunnel": [tunnel.pk for tunnel in tunnels]}
    return browser.post(reverse("several", query=query), data, follow=True)


def results(response) -> list[str]:
    return [text_of(e) for e in part(response, "results").iter("li")]


def test_a_bulk_apply_has_a_result_for_each_tunnel(
    ready, tunnel, second_tunnel, account, concentrator, user, page
):
    services.apply(second_tunnel, user)
    incomplete = make_tunnel(account, concentrator, "ipsec003", customer="192.168.40.0/24")

    response = run_action(
        page, "apply", ready, second_tunnel, incomplete, sort="-name", before="end"
    )

    assert response.redirect_chain == [(f"{LIST}?sort=-name&before=end#results", 302)]
    assert results(response) == [
        "ipsec001: Revision 1 submitted.",
        "ipsec002: refused. Locked while revision 1 is being applied. Nothing was changed. Try "
        "again when the result is shown.",
        "ipsec003: refused. Remote Peer Address: Enter the static address of the customer's VPN "
        "device. Preshared Key: Enter the preshared key. Protected private (hosted) "
        "subnets: Select at least one hosted subnet for the tunnel.",
    ]
    assert text_of(part(response, "results-title")) == "Apply Configurations: 1 of 3 done"
    assert links(response)["Preshared Key"] == f"/tunnels/{incomplete.pk}/#id_preshared_key"
    assert [revision.tunnel.name for revision in Revision.objects.order_by("pk")] == [
        "ipsec002",
        "ipsec001",
    ]
    assert not any(e.get("id") == "results" for e in read(page.get(LIST)).iter()), "shown once"


def test_a_bulk_disconnect_and_connect(ready, second_tunnel, user, page, gateway):
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)

    disconnected = results(run_action(page, "disconnect", ready, second_tunnel))
    reconcile.converge(ready.concentrator_id, ready.pk)
    Concentrator.objects.update(seen_at=timezone.now())
    label = rows(page.get(LIST))["ipsec001"][1]
    connected = results(run_action(page, "connect", ready))

    assert disconnected == [
        "ipsec001: Disconnect submitted.",
        "ipsec002: refused. This tunnel is not applied yet. Apply it first.",
    ]
    assert label == "Disconnected"
    assert connected == ["ipsec001: Connect submitted."]
    assert Tunnel.objects.get(pk=ready.pk).disconnected_at is None


def test_a_deleted_tunnel_is_refused_with_a_reason(ready, second_tunnel, user, page):
    services.cancel(ready, user)

    assert results(run_action(page, "apply", ready, second_tunnel)) == [
        "ipsec001: refused. This tunnel was deleted. It can no longer be changed or applied.",
        "ipsec002: Revision 1 submitted.",
    ]


def test_an_action_without_selected_tunnels_is_explained(tunnel, page):
    assert "Select at least one tunnel first." in words(run_action(page, "apply"), "live")


@pytest.mark.parametrize("name", ["", "cancel", "delete", "__class__"])
def test_an_unknown_action_does_nothing(second_tunnel, page, name):
    assert run_action(page, name, second_tunnel).status_code == 400
    assert not Revision.objects.exists()


def test_the_role_in_each_account_decides_which_tunnels_can_be_selected(
    ready, user, page, concentrator, stranger
):
    page.force_login(user)
    other = Account.objects.create(name="Watched account")
    Membership.objects.create(account=other, user=user, role="viewer")
    watched = make_tunnel(other, concentrator, "ipsec007")
    foreign = make_tunnel(Account.objects.get(name="Another account"), concentrator, "ipsec008")

    response = page.get(LIST)
    boxes = [e.get("value") for e in read(response).iter("input") if e.get("name") == "tunnel"]

    assert tunnel_ids(response) == ["ipsec001", "ipsec007"]
    assert boxes == [str(ready.pk)]
    for tunnel in (watched, foreign):
        assert run_action(page, "apply", ready, tunnel).status_code == 404
    assert not Revision.objects.exists(), "a tunnel without permission refuses the whole action"


def test_the_list_of_a_viewer_has_no_actions(tunnel, viewer):
    html = read(viewer.get(LIST))

    assert [text_of(e) for e in html.iter("button")] == ["Sign out", "Search"]
    assert [e for e in html.iter("input") if e.get("type") == "checkbox"] == []


def test_all_tunnels_of_a_page_can_be_selected_without_javascript(ready, second_tunnel, page):
    href = links(page.get(LIST))["Select all on this page"]

    boxes = [e for e in read(page.get(href)).iter("input") if e.get("name") == "tunnel"]

    assert ["checked" in e.attrib for e in boxes] == [True, True]


# The poll


def poll(page, response):
    """Send the poll of the page, with the tokens of its rows and its counts."""
    names = ("row", "counted")
    inputs = [e for e in read(response).iter("input") if e.get("name") in names]
    query = {name: [e.get("value") for e in inputs if e.get("name") == name] for name in names}
    return page.get(part(response, "news").get("hx-get"), query, headers={"HX-Request": "true"})


def replaced_ids(response) -> set[str]:
    """Return the ids of the elements that the response replaces out of band."""
    return {e.get("id") for e in read(response).iter() if e.get("hx-swap-oob")}


def test_a_poll_returns_only_changed_rows_and_204_without_changes(ready, second_tunnel, user, page):
    Concentrator.objects.update(seen_at=timezone.now())
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    rendered = page.get(LIST)
    assert poll(page, rendered).status_code == 204
    assert part(rendered, "news").get("hx-trigger") == "every 5s"

    Tunnel.objects.filter(pk=second_tunnel.pk).update(sa_status="up")
    response = poll(page, rendered)

    pk = second_tunnel.pk
    assert replaced_ids(response) == {
        "news",
        "counts",
        f"state-{pk}",
        f"changes-{pk}",
        f"applied-{pk}",
    }
    assert words(response, f"state-{pk}") == "Up"


CHANGES = {
    "edit": lambda tunnel, user: services.edit(tunnel, "phase_one_keylife", 7200, user),
    "second edit": lambda tunnel, user: services.edit(tunnel, "phase_two_keylife", 7200, user),
    "apply": lambda tunnel, user: services.apply(tunnel, user),
    "disconnect": lambda tunnel, user: services.disconnect(tunnel, user),
    "deletion": lambda tunnel, user: services.cancel(tunnel, user),
    "outcome": lambda tunnel, user: Revision.objects.update(outcome="failed"),
    "SA status": lambda tunnel, user: Tunnel.objects.update(sa_status="down"),
    "concentrator offline": lambda tunnel, user: Concentrator.objects.update(seen_at=None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_a_row_is_in_the_next_poll(second_tunnel, user, page, change):
    Concentrator.objects.update(seen_at=timezone.now())
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    services.edit(second_tunnel, "phase_two_group", 14, user)
    Tunnel.objects.update(sa_status="up")
    rendered = page.get(LIST)

    change(second_tunnel, user)

    assert f"state-{second_tunnel.pk}" in replaced_ids(poll(page, rendered))


def test_the_page_polls_every_second_during_an_apply(second_tunnel, user, page):
    services.apply(second_tunnel, user)

    assert part(page.get(LIST), "news").get("hx-trigger") == "every 1s"


def test_a_poll_contains_no_row_of_another_account(second_tunnel, user, stranger):
    services.apply(second_tunnel, user)
    rows = [f"{second_tunnel.pk}.x", "1.", "nonsense", f"{'9' * 30}.x"]
    response = stranger.get(reverse("news"), {"row": rows})

    assert replaced_ids(response) == {"news", "counts"}
    assert counts(response) == {"All": 0}
    assert part(response, "news").get("hx-trigger") == "every 5s", (
        "the interval would reveal an apply"
    )


def test_the_list_contains_no_digest_of_a_draft(ready, user, page):
    services.apply(ready, user)
    digests = [Tunnel.objects.get(pk=ready.pk).draft_digest, Revision.objects.get().digest]

    html = page.get(LIST).content.decode()

    assert not [digest for digest in digests if digest[:8] in html]
