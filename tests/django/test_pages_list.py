"""The list of tunnels: found, counted, sorted, paged, and one thing done to several of them."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.django.conftest import make_tunnel
from tests.reading import part, read, words
from vpnportal import reconcile, services
from vpnportal.models import Account, Concentrator, Datacenter, Membership, Revision, Tunnel
from vpnportal.web.listed import PER_PAGE

LIST = reverse("tunnels")


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def listed(answer) -> list[str]:
    """The device names on the page, in order."""
    return [text_of(e) for e in read(answer).iter("th") if e.get("scope") == "row"]


def rows(answer) -> dict[str, list[str]]:
    """The cells of each tunnel after its name, as a person reads them."""
    found = {}
    for row in read(answer).iter("tr"):
        if names := [e for e in row if e.get("scope") == "row"]:
            cells = list(row)
            found[text_of(names[0])] = [text_of(e) for e in cells[cells.index(names[0]) + 1 :]]
    return found


def counts(answer) -> dict[str, int]:
    """The numbers beside the states, by their words."""
    links = part(answer, "counts").iter("a")
    return {e.text.strip(): int(text_of(e.find("strong"))) for e in links}


def links(answer) -> dict[str, str]:
    return {text_of(e): e.get("href") for e in read(answer).iter("a")}


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
    Tunnel.objects.filter(pk=second_tunnel.pk).update(association="up")

    first, last = page.get(LIST), page.get(LIST, {"page": 3})
    up, fresh = page.get(LIST, {"state": "up"}), page.get(LIST, {"state": "never-applied"})

    told = {"all": 101, "up": 1, "never applied": 100, "with changes not applied": 100}
    assert [counts(one) for one in (first, last, up, fresh)] == [told] * 4
    assert (len(listed(first)), len(listed(last)), len(listed(fresh))) == (PER_PAGE, 1, PER_PAGE)
    assert listed(up) == ["ipsec002"]
    assert rows(up)["ipsec002"][1:3] == ["up", "–"]
    assert rows(up)["ipsec002"][-1].startswith("ada, ")
    assert revision.author.get_username() == "ada"


def test_changes_not_applied_can_be_listed(ready, second_tunnel, user, page):
    for one in (ready, second_tunnel):
        services.apply(one, user)
    Revision.objects.update(outcome="live")
    services.edit(ready, "phase_one_keylife", 7200)

    answer = page.get(LIST, {"state": "changed"})

    assert listed(answer) == ["ipsec001"]
    assert rows(answer)["ipsec001"][2] == "1 change"


def test_unknown_tells_its_age_and_a_failure_tells_what_runs_on(second_tunnel, user, page):
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    Tunnel.objects.update(association="up")
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(hours=3))
    assert rows(page.get(LIST))["ipsec002"][1] == "unknown last seen up 3 hours ago"

    services.apply(second_tunnel, user)
    Revision.objects.filter(number=2).update(outcome="failed")
    Concentrator.objects.update(seen_at=timezone.now())
    assert rows(page.get(LIST))["ipsec002"][1] == "failed revision 1 is up"


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
    ready, second_tunnel, user, page, device
):
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    services.cancel(ready, user)

    assert rows(page.get(LIST))["ipsec001"][1] == "being cancelled"
    reconcile.converge(ready.concentrator_id)

    assert listed(page.get(LIST)) == ["ipsec002"]
    numbers = {"all": 1, "never applied": 1, "cancelled": 1, "with changes not applied": 1}
    assert counts(page.get(LIST)) == numbers
    assert rows(page.get(LIST, {"state": "cancelled"}))["ipsec001"][1:3] == ["cancelled", "–"]


def test_accounts_and_locations_are_offered_where_there_are_several(found, user, page):
    assert "account" not in {e.get("name") for e in read(page.get(LIST)).iter("select")}

    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    lane = Concentrator.objects.create(
        name="dal05-vpn01", datacenter=dallas, public_address="203.0.113.9"
    )
    other = Account.objects.create(name="Other account")
    Membership.objects.create(account=other, user=user, role="viewer")
    make_tunnel(other, lane, "ipsec007")
    strange = make_tunnel(Account.objects.create(name="Strange account"), lane, "ipsec008")

    assert listed(page.get(LIST)) == ["ipsec001", "ipsec002", "ipsec007"]
    assert listed(page.get(LIST, {"location": dallas.pk})) == ["ipsec007"]
    assert listed(page.get(LIST, {"account": other.pk})) == ["ipsec007"]
    assert rows(page.get(LIST))["ipsec007"][-2] == "Other account"
    offered = [text_of(e) for e in read(page.get(LIST)).iter("option")]
    assert offered == ["all", "Example account", "Other account", "all", "Dallas 5", "Houston 2"]
    assert len(listed(page.get(LIST, {"account": strange.account_id}))) == 3


# Several at once


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
        "device. Preshared Key: Enter the key that both ends share. Protected private (hosted) "
        "subnets: Select at least one hosted subnet for the tunnel.",
    ]
    assert text_of(part(answer, "results-title")) == "Apply Configurations: 1 of 3 done"
    assert links(answer)["Preshared Key"] == f"/tunnels/{unready.pk}/#id_preshared_key"
    assert [r.tunnel.name for r in Revision.objects.order_by("pk")] == ["ipsec002", "ipsec001"]
    assert not any(e.get("id") == "results" for e in read(page.get(LIST)).iter()), "told once"


def test_several_are_disconnected_and_connected(ready, second_tunnel, user, page, device):
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
    assert Tunnel.objects.get(pk=ready.pk).held_at is None


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

    Tunnel.objects.filter(pk=second_tunnel.pk).update(association="up")
    answer = poll(page, shown)

    pk = second_tunnel.pk
    assert parts(answer) == {"news", "counts", f"state-{pk}", f"changes-{pk}", f"applied-{pk}"}
    assert words(answer, f"state-{pk}") == "up"


NEWS = {
    "an edit": lambda one, user: services.edit(one, "phase_one_keylife", 7200),
    "a second edit": lambda one, user: services.edit(one, "phase_two_keylife", 7200),
    "an apply": lambda one, user: services.apply(one, user),
    "a disconnect": lambda one, user: services.disconnect(one, user),
    "a cancellation": lambda one, user: services.cancel(one, user),
    "an outcome": lambda one, user: Revision.objects.update(outcome="failed"),
    "an association": lambda one, user: Tunnel.objects.update(association="down"),
    "out of sight": lambda one, user: Concentrator.objects.update(seen_at=None),
}


@pytest.mark.parametrize("news", NEWS.values(), ids=NEWS)
def test_whatever_a_row_tells_is_news(second_tunnel, user, page, news):
    Concentrator.objects.update(seen_at=timezone.now())
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live")
    services.edit(second_tunnel, "phase_two_group", 14)
    Tunnel.objects.update(association="up")
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
