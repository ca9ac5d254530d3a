"""The tunnel list: search, counts, filters, sort order and pages."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from tests.tunnel_list_page import counts, links, rows, text_of, tunnel_ids
from vpnportal import services
from vpnportal.models import Account, Concentrator, Datacenter, Membership, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.web.tunnel_list.pages import PER_PAGE

pytestmark = pytest.mark.sqlite

LIST = reverse("tunnels")


def make_tunnels(
    account: Account, concentrator: Concentrator, count: int, **columns: object
) -> None:
    first = Tunnel.objects.count() + 10
    Tunnel.objects.bulk_create(
        Tunnel(
            account=account,
            concentrator=concentrator,
            name=f"ipsec{number:03}",
            hosted_peer=str(IPv4Address("198.18.0.0") + number),
            **columns,
        )
        for number in range(first, first + count)
    )


@pytest.fixture
def two_tunnels(ready, second_tunnel) -> Tunnel:
    """Return the example tunnel, with a name and a note, beside a second tunnel."""
    Tunnel.objects.filter(pk=ready.pk).update(
        friendly_name="Dallas 100%", notes="Rack 7, <b>Bob</b>"
    )
    return ready


@pytest.mark.parametrize(
    "text",
    [
        "ipsec001",
        "dallas",
        "100%",
        "rack 7",
        "<b>",
        "203.0.113.1",
        "203.0.113.2",
        "10.2.0.9",
        "10.2.0.0/24",
        "192.168.10.15",
        "192.168.10.200",
        "192.168.10.0/24",
        "192.168.10.64/26",
        "10.1.255.92",
        "10.1.255.93",
        "10.1.255.92/30",
    ],
)
def test_search_matches_id_name_note_and_every_address(two_tunnels, page, text):
    response = page.get(LIST, {"q": f" {text} "})

    assert tunnel_ids(response) == ["ipsec001"]
    assert search_text(response).strip() == text


def search_text(response) -> str:
    return next(e.get("value", "") for e in read(response).iter("input") if e.get("name") == "q")


@pytest.mark.parametrize(
    "text",
    [
        "10.2.1.1",
        "192.168.11.1",
        "192.168.0.0/16",
        "10.2.0.0/16",
        "%",
        "_",
        "' OR 1=1 --",
        "203.0.113.1/8",
    ],
)
def test_a_search_without_matches_links_to_all_tunnels(tunnel, page, text):
    response = page.get(LIST, {"q": text})

    assert tunnel_ids(response) == []
    assert "No tunnel matches. Clear the search to show all tunnels." in words(response, "main")
    assert links(response)["Clear the search"] == LIST
    assert search_text(response) == text


def test_a_part_of_a_peer_address_matches(two_tunnels, page):
    assert tunnel_ids(page.get(LIST, {"q": "203.0.113."})) == ["ipsec001", "ipsec002"]
    assert tunnel_ids(page.get(LIST, {"q": "0.113.102"})) == ["ipsec002"]


@pytest.mark.parametrize("text", ["x" * 81, "a\0b"])
def test_an_invalid_search_text_is_explained_and_hides_no_tunnel(tunnel, page, text):
    response = page.get(LIST, {"q": text})

    assert tunnel_ids(response) == ["ipsec001"]
    assert words(response, "note-q") != ""
    assert search_text(response) == text


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "preshared_key"},
        {"sort": "account__memberships__user__password"},
        {"sort": "--name"},
        {"sort": "?"},
        {"state": "cancelled_at__isnull"},
        {"state": "live"},
        {"account": "1 OR 1=1"},
        {"location": "9" * 30},
        {"after": "0 UNION SELECT"},
        {"before": "0 UNION SELECT"},
        {"notes__contains": "zzz"},
    ],
)
def test_values_that_are_not_among_the_choices_are_ignored(two_tunnels, page, query):
    response = page.get(LIST, query)

    assert response.status_code == 200
    assert tunnel_ids(response) == ["ipsec001", "ipsec002"]


def test_counts_and_the_state_filter_cover_all_pages(
    account, concentrator, second_tunnel, user, page
):
    make_tunnels(account, concentrator, 2 * PER_PAGE)
    Concentrator.objects.update(seen_at=timezone.now())
    revision = services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    Tunnel.objects.filter(pk=second_tunnel.pk).update(sa_status="up")

    first, last = page.get(LIST), page.get(LIST, {"before": "end"})
    up, never = page.get(LIST, {"state": "up"}), page.get(LIST, {"state": "never-applied"})

    expected = {"All": 101, "Up": 1, "Never applied": 100, "Pending changes": 100}
    assert [counts(response) for response in (first, last, up, never)] == [expected] * 4
    lengths = [len(tunnel_ids(response)) for response in (first, last, never)]
    assert lengths == [PER_PAGE, PER_PAGE, PER_PAGE]
    assert tunnel_ids(up) == ["ipsec002"]
    assert rows(up)["ipsec002"][:3] == ["ipsec002", "Up", "–"]
    assert rows(up)["ipsec002"][-1].startswith("ada, ")
    assert revision.author.get_username() == "ada"


def test_tunnels_with_pending_changes_can_be_tunnel_ids(ready, second_tunnel, user, page):
    for tunnel in (ready, second_tunnel):
        services.apply(tunnel, user)
    Revision.objects.update(outcome="live")
    services.edit(ready, "phase_one_keylife", 7200, user)

    response = page.get(LIST, {"state": "changed"})

    assert tunnel_ids(response) == ["ipsec001"]
    assert rows(response)["ipsec001"][2] == "1 change"


def test_unknown_has_an_age_and_failed_has_the_state_of_the_live_revision(
    second_tunnel, user, page
):
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    Tunnel.objects.update(sa_status="up")
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(hours=3))
    assert rows(page.get(LIST))["ipsec002"][1] == "Unknown last state: Up, 3 hours ago"

    services.apply(second_tunnel, user)
    Revision.objects.filter(number=2).update(outcome="failed")
    Concentrator.objects.update(seen_at=timezone.now())
    assert rows(page.get(LIST))["ipsec002"][1] == "Failed revision 1: Up"


def test_ids_and_addresses_are_sorted_by_number(account, concentrator, page):
    for name, peer in (
        ("ipsec1000", "9.0.0.1"),
        ("ipsec999", "10.0.0.2"),
        ("ipsec101", "10.0.0.10"),
    ):
        Tunnel.objects.create(
            account=account, concentrator=concentrator, name=name, hosted_peer=peer
        )

    by_id = tunnel_ids(page.get(LIST))
    by_peer = tunnel_ids(page.get(LIST, {"sort": "hosted-peer"}))

    assert by_id == ["ipsec101", "ipsec999", "ipsec1000"]
    assert by_peer == ["ipsec1000", "ipsec999", "ipsec101"]
    assert tunnel_ids(page.get(LIST, {"sort": "-hosted-peer"})) == by_peer[::-1]


@pytest.mark.parametrize(
    "column",
    ["tunnel-name", "state", "remote-peer", "hosted-peer", "location", "account", "applied"],
)
def test_every_column_sorts_both_ways_and_empty_values_come_last(two_tunnels, user, page, column):
    services.apply(two_tunnels, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    Tunnel.objects.filter(name="ipsec002").update(remote_peer=None)

    responses = [page.get(LIST, {"sort": sign + column}) for sign in ("", "-")]
    orders = [tunnel_ids(response) for response in responses]

    assert {frozenset(order) for order in orders} == {frozenset(("ipsec001", "ipsec002"))}
    if column in ("tunnel-name", "remote-peer", "applied"):
        assert [order[0] for order in orders] == ["ipsec001", "ipsec001"]


def test_the_url_contains_search_filter_sort_order_and_page(account, concentrator, page):
    make_tunnels(account, concentrator, 3 * PER_PAGE, friendly_name="Branch")
    view = {"q": "branch", "state": "never-applied", "sort": "-name"}

    response = page.get(links(page.get(LIST, view))["Next"])

    query = "?q=branch&state=never-applied&sort=-name"
    hrefs = links(response)
    assert hrefs["Next"].startswith(f"{LIST}{query}&after=")
    assert hrefs["First"] == f"{LIST}{query}"
    assert hrefs["Last"] == f"{LIST}{query}&before=end"
    assert hrefs["Tunnel ID ▼"] == f"{LIST}?q=branch&state=never-applied&sort=name"
    assert hrefs["State"] == f"{LIST}?q=branch&state=never-applied&sort=state"
    assert part(response, "several").get("action").startswith(f"{reverse('several')}{query}&after=")
    assert words(response, "tunnels") == "51 to 100 of 150 tunnels"


def test_an_empty_list_explains_the_next_step(account, user, page):
    assert "Ask an owner of the account to order a tunnel." in words(page.get(LIST), "main")

    Membership.objects.update(role="owner")
    assert links(page.get(LIST))["Order a tunnel"] == reverse("order")

    Membership.objects.all().delete()
    assert "You don't have access to an account yet." in words(page.get(LIST), "main")


def test_a_deleted_tunnel_is_listed_until_its_release_and_then_only_by_its_state(
    ready, second_tunnel, user, page, gateway
):
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    services.cancel(ready, user)

    assert rows(page.get(LIST))["ipsec001"][1] == "Being deleted"
    reconcile.converge(ready.concentrator_id)

    assert tunnel_ids(page.get(LIST)) == ["ipsec002"]
    expected = {"All": 1, "Never applied": 1, "Deleted": 1, "Pending changes": 1}
    assert counts(page.get(LIST)) == expected
    assert rows(page.get(LIST, {"state": "cancelled"}))["ipsec001"][1:3] == ["Deleted", "–"]


def test_accounts_and_locations_are_filters_if_there_is_more_than_one(two_tunnels, user, page):
    assert "account" not in {e.get("name") for e in read(page.get(LIST)).iter("select")}

    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    concentrator = Concentrator.objects.create(
        name="dal05-vpn01", datacenter=dallas, public_address="203.0.113.9"
    )
    other = Account.objects.create(name="Other account")
    Membership.objects.create(account=other, user=user, role="viewer")
    make_tunnel(other, concentrator, "ipsec007")
    foreign = make_tunnel(Account.objects.create(name="Strange account"), concentrator, "ipsec008")

    assert tunnel_ids(page.get(LIST)) == ["ipsec001", "ipsec002", "ipsec007"]
    assert tunnel_ids(page.get(LIST, {"location": dallas.pk})) == ["ipsec007"]
    assert tunnel_ids(page.get(LIST, {"account": other.pk})) == ["ipsec007"]
    assert rows(page.get(LIST))["ipsec007"][-2] == "Other account"
    options = [text_of(e) for e in read(page.get(LIST)).iter("option")]
    assert options == ["All", "Example account", "Other account", "All", "Dallas 5", "Houston 2"]
    assert len(tunnel_ids(page.get(LIST, {"account": foreign.account_id}))) == 3
