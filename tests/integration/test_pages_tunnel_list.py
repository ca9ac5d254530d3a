"""The list of tunnels: found, counted, filtered, sorted and paged."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from tests.tunnel_list_page import counts, links, listed, rows, text_of
from vpnportal import services
from vpnportal.models import Account, Concentrator, Datacenter, Membership, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.web.tunnel_list.rows import PER_PAGE

LIST = reverse("tunnels")


def many(account: Account, concentrator: Concentrator, count: int, **columns: object) -> None:
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
def found(ready, second_tunnel) -> Tunnel:
    """The mission's example with a note, beside another tunnel."""
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
def test_a_tunnel_is_found_by_its_names_its_note_and_every_address_of_it(found, page, text):
    answer = page.get(LIST, {"q": f" {text} "})

    assert listed(answer) == ["ipsec001"]
    assert typed_search(answer).strip() == text


def typed_search(answer) -> str:
    return next(e.get("value", "") for e in read(answer).iter("input") if e.get("name") == "q")


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
def test_what_is_no_part_of_any_tunnel_finds_none_and_says_how_to_go_on(tunnel, page, text):
    answer = page.get(LIST, {"q": text})

    assert listed(answer) == []
    assert "No tunnel matches. Clear the search to see all of them." in words(answer, "main")
    assert links(answer)["Clear the search"] == LIST
    assert typed_search(answer) == text


def test_a_part_of_a_peers_address_is_enough(found, page):
    assert listed(page.get(LIST, {"q": "203.0.113."})) == ["ipsec001", "ipsec002"]
    assert listed(page.get(LIST, {"q": "0.113.102"})) == ["ipsec002"]


@pytest.mark.parametrize("text", ["x" * 81, "a\0b"])
def test_what_cannot_be_searched_for_is_explained_kept_and_narrows_nothing(tunnel, page, text):
    answer = page.get(LIST, {"q": text})

    assert listed(answer) == ["ipsec001"]
    assert words(answer, "note-q") != ""
    assert typed_search(answer) == text


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
        {"page": "0 UNION SELECT"},
        {"notes__contains": "zzz"},
    ],
)
def test_names_that_are_no_choice_of_the_page_choose_nothing(found, page, query):
    answer = page.get(LIST, query)

    assert answer.status_code == 200
    assert listed(answer) == ["ipsec001", "ipsec002"]


def test_counts_and_the_filter_by_state_are_right_across_pages(
    account, concentrator, second_tunnel, user, page
):
    many(account, concentrator, 2 * PER_PAGE)
    Concentrator.objects.update(seen_at=timezone.now())
    revision = services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    Tunnel.objects.filter(pk=second_tunnel.pk).update(sa_status="up")

    first, last = page.get(LIST), page.get(LIST, {"page": 3})
    up, fresh = page.get(LIST, {"state": "up"}), page.get(LIST, {"state": "never-applied"})

    told = {"all": 101, "Up": 1, "Never applied": 100, "with changes not applied": 100}
    assert [counts(one) for one in (first, last, up, fresh)] == [told] * 4
    assert (len(listed(first)), len(listed(last)), len(listed(fresh))) == (PER_PAGE, 1, PER_PAGE)
    assert listed(up) == ["ipsec002"]
    assert rows(up)["ipsec002"][1:3] == ["Up", "–"]
    assert rows(up)["ipsec002"][-1].startswith("ada, ")
    assert revision.author.get_username() == "ada"


def test_changes_not_applied_can_be_listed(ready, second_tunnel, user, page):
    for one in (ready, second_tunnel):
        services.apply(one, user)
    Revision.objects.update(outcome="live")
    services.edit(ready, "phase_one_keylife", 7200, user)

    answer = page.get(LIST, {"state": "changed"})

    assert listed(answer) == ["ipsec001"]
    assert rows(answer)["ipsec001"][2] == "1 change"


def test_unknown_tells_its_age_and_a_failure_tells_what_runs_on(second_tunnel, user, page):
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    Tunnel.objects.update(sa_status="up")
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(hours=3))
    assert rows(page.get(LIST))["ipsec002"][1] == "Unknown last seen up 3 hours ago"

    services.apply(second_tunnel, user)
    Revision.objects.filter(number=2).update(outcome="failed")
    Concentrator.objects.update(seen_at=timezone.now())
    assert rows(page.get(LIST))["ipsec002"][1] == "Failed revision 1 is up"


def test_names_and_addresses_are_sorted_as_people_count(account, concentrator, page):
    for name, peer in (
        ("ipsec1000", "9.0.0.1"),
        ("ipsec999", "10.0.0.2"),
        ("ipsec101", "10.0.0.10"),
    ):
        Tunnel.objects.create(
            account=account, concentrator=concentrator, name=name, hosted_peer=peer
        )

    by_name = listed(page.get(LIST))
    by_peer = listed(page.get(LIST, {"sort": "hosted-peer"}))

    assert by_name == ["ipsec101", "ipsec999", "ipsec1000"]
    assert by_peer == ["ipsec1000", "ipsec999", "ipsec101"]
    assert listed(page.get(LIST, {"sort": "-hosted-peer"})) == by_peer[::-1]


@pytest.mark.parametrize(
    "column",
    ["tunnel-name", "state", "remote-peer", "hosted-peer", "location", "account", "applied"],
)
def test_every_column_sorts_both_ways_and_what_is_empty_comes_last(found, user, page, column):
    services.apply(found, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    Tunnel.objects.filter(name="ipsec002").update(remote_peer=None)

    answers = [page.get(LIST, {"sort": sign + column}) for sign in ("", "-")]

    assert {frozenset(listed(one)) for one in answers} == {frozenset(("ipsec001", "ipsec002"))}
    if column in ("tunnel-name", "remote-peer", "applied"):
        assert [listed(one)[0] for one in answers] == ["ipsec001", "ipsec001"]


def test_the_address_of_a_page_carries_the_whole_view(account, concentrator, page):
    many(account, concentrator, 3 * PER_PAGE, friendly_name="Branch")
    view = {"q": "branch", "state": "never-applied", "sort": "-name"}

    answer = page.get(LIST, {**view, "page": 2})

    query = "?q=branch&state=never-applied&sort=-name"
    found = links(answer)
    assert found["3"] == f"{LIST}{query}&page=3"
    assert found["Name ▼"] == f"{LIST}?q=branch&state=never-applied&sort=name"
    assert found["State"] == f"{LIST}?q=branch&state=never-applied&sort=state"
    assert part(answer, "several").get("action") == f"{reverse('several')}{query}&page=2"
    assert words(answer, "tunnels") == "51 to 100 of 150 tunnels"


@pytest.mark.parametrize("number", ["99", "0", "-1"])
def test_a_page_that_is_not_there_is_the_last_one(account, concentrator, page, number):
    many(account, concentrator, PER_PAGE + 1)

    assert words(page.get(LIST, {"page": number}), "tunnels") == "51 to 51 of 51 tunnels"


def test_an_empty_list_says_what_to_do_next(account, user, page):
    assert "Ask an owner of the account to order one." in words(page.get(LIST), "main")

    Membership.objects.update(role="owner")
    assert links(page.get(LIST))["Order a tunnel"] == reverse("order")

    Membership.objects.all().delete()
    assert "You are no member of an account yet." in words(page.get(LIST), "main")


def test_a_cancelled_tunnel_is_listed_until_it_is_let_go_of_and_then_found_by_its_state(
    ready, second_tunnel, user, page, gateway
):
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    services.cancel(ready, user)

    assert rows(page.get(LIST))["ipsec001"][1] == "Being deleted"
    reconcile.converge(ready.concentrator_id)

    assert listed(page.get(LIST)) == ["ipsec002"]
    numbers = {"all": 1, "Never applied": 1, "Deleted": 1, "with changes not applied": 1}
    assert counts(page.get(LIST)) == numbers
    assert rows(page.get(LIST, {"state": "cancelled"}))["ipsec001"][1:3] == ["Deleted", "–"]


def test_accounts_and_locations_are_offered_where_there_are_several(found, user, page):
    assert "account" not in {e.get("name") for e in read(page.get(LIST)).iter("select")}

    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    concentrator = Concentrator.objects.create(
        name="dal05-vpn01", datacenter=dallas, public_address="203.0.113.9"
    )
    other = Account.objects.create(name="Other account")
    Membership.objects.create(account=other, user=user, role="viewer")
    make_tunnel(other, concentrator, "ipsec007")
    strange = make_tunnel(Account.objects.create(name="Strange account"), concentrator, "ipsec008")

    assert listed(page.get(LIST)) == ["ipsec001", "ipsec002", "ipsec007"]
    assert listed(page.get(LIST, {"location": dallas.pk})) == ["ipsec007"]
    assert listed(page.get(LIST, {"account": other.pk})) == ["ipsec007"]
    assert rows(page.get(LIST))["ipsec007"][-2] == "Other account"
    offered = [text_of(e) for e in read(page.get(LIST)).iter("option")]
    assert offered == ["all", "Example account", "Other account", "all", "Dallas 5", "Houston 2"]
    assert len(listed(page.get(LIST, {"account": strange.account_id}))) == 3
