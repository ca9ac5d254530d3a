"""Pages of the tunnel list, while tunnels come, go and change between two pages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.html import words
from tests.tunnel_list_page import counts, links, tunnel_ids
from tests.unit.samples import EXAMPLE
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.fields import Sealed
from vpnportal.models import Account, Concentrator, Datacenter, Membership, Revision, Tunnel
from vpnportal.web.tunnel_list import pages
from vpnportal.web.tunnel_list.filter_form import COLUMNS

pytestmark = pytest.mark.sqlite

LIST = reverse("tunnels")
ORDERS = [sign + column for column in COLUMNS for sign in ("", "-")]
TUNNELS = 23


@pytest.fixture
def listed(account, user, concentrator, monkeypatch) -> list[str]:
    """Return the IDs of tunnels whose columns have equal and empty values; a page has 5 rows."""
    monkeypatch.setattr(pages, "PER_PAGE", 5)
    other = Account.objects.create(name="Other account")
    Membership.objects.create(account=other, user=user, role="viewer")
    dallas = Datacenter.objects.create(name="dal05", long_name="Dallas 5")
    offline = Concentrator.objects.create(
        name="dal05-vpn01", datacenter=dallas, public_address="203.0.113.9"
    )
    Concentrator.objects.filter(pk=concentrator.pk).update(seen_at=timezone.now())
    return [
        add(number, (account, other)[number % 3 == 0], (concentrator, offline)[number % 4 == 0])
        for number in range(1, TUNNELS + 1)
    ]


def add(number: int, account: Account, concentrator: Concentrator) -> str:
    """Create a tunnel; every fifth one was never applied."""
    tunnel = Tunnel.objects.create(
        account=account,
        concentrator=concentrator,
        name=f"ipsec{97 + number}",
        friendly_name=("", "Lima", "oslo", "Rome Ü")[number % 4],
        hosted_peer=str(IPv4Address("9.255.255.250") + number),
        remote_peer=None if number % 3 == 0 else f"198.51.100.{number % 7}",
        sa_status=("up", "down")[number % 2],
    )
    if number % 5:
        Revision.objects.create(
            tunnel=tunnel,
            concentrator=concentrator,
            number=1,
            specification=Sealed.of(serialize(EXAMPLE), Revision.context(tunnel.pk, 1)),
            hosted_peer=tunnel.hosted_peer,
            remote_peer="198.51.100.1",
            outcome="live",
            finished_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number % 4),
        )
    return tunnel.name


def walk(page, url: str, link: str) -> list[list[str]]:
    """Return the rows of each page from a URL on, by the link to another page."""
    found = []
    while url:
        response = page.get(url)
        found.append(tunnel_ids(response))
        url = links(response).get(link, "")
        assert len(found) <= TUNNELS
    return found


def all_rows(page, order: str) -> list[str]:
    return [name for names in walk(page, f"{LIST}?sort={order}", "Next") for name in names]


@pytest.mark.parametrize("order", ORDERS)
def test_each_tunnel_is_on_one_page_in_every_order_and_both_directions(listed, page, order):
    forwards = walk(page, f"{LIST}?sort={order}", "Next")
    backwards = walk(page, f"{LIST}?sort={order}&before=end", "Previous")

    rows = [name for names in forwards for name in names]
    assert sorted(rows) == sorted(listed), "none is lost, and none is twice"
    assert [len(names) for names in forwards] == [5, 5, 5, 5, 3]
    assert [name for names in backwards[-2::-1] for name in names] == rows[3:]
    assert backwards[-1] == rows[:5], "the first page is full, also from the end"
    reverse_order = order.removeprefix("-") if order.startswith("-") else f"-{order}"
    with_value, without = split(order, rows)
    others, empty = split(order, all_rows(page, reverse_order))
    assert (with_value[::-1], without[::-1]) == (others, empty)


def split(order: str, names: list[str]) -> tuple[list[str], list[str]]:
    """Return the IDs with a value in the sorted column, and those without, which come last."""
    lookups = {
        "tunnel-name": {"friendly_name": ""},
        "remote-peer": {"remote_peer": None},
        "applied": {"revisions": None},
    }
    lookup = lookups.get(order.removeprefix("-"))
    empty = set(Tunnel.objects.filter(**lookup).values_list("name", flat=True)) if lookup else set()
    at = next((index for index, name in enumerate(names) if name in empty), len(names))
    assert empty == set(names[at:])
    return names[:at], names[at:]


@pytest.mark.parametrize("order", ORDERS)
def test_no_row_is_lost_or_doubled_while_tunnels_come_and_go_between_two_pages(
    listed, page, account, concentrator, order
):
    in_order = all_rows(page, order)
    first = page.get(LIST, {"sort": order})
    for number in (-3, -2, -1, 0, 60, 61):
        add(number, account, concentrator)
    gone, shown = in_order[2], in_order[:5]
    Tunnel.objects.filter(name=gone).update(cancelled_at=timezone.now())

    following = [name for names in walk(page, links(first)["Next"], "Next") for name in names]

    assert not set(shown) & set(following)
    assert [name for name in following if name in listed] == in_order[5:]


def test_a_page_stays_where_it_is_if_the_tunnel_that_its_link_names_changes(listed, page):
    first = page.get(LIST, {"sort": "state"})
    expected = tunnel_ids(page.get(links(first)["Next"]))
    last_of_first = Tunnel.objects.get(name=tunnel_ids(first)[-1])
    assert last_of_first.name not in expected

    Revision.objects.filter(tunnel=last_of_first).update(outcome="queued")

    following = tunnel_ids(page.get(links(first)["Next"]))
    assert [name for name in following if name != last_of_first.name] == expected[: len(following)]


def test_positions_are_those_of_the_rows(listed, page):
    captions = []
    url = LIST
    while url:
        response = page.get(url)
        captions.append(words(response, "tunnels"))
        url = links(response).get("Next", "")

    spans = ("1 to 5", "6 to 10", "11 to 15", "16 to 20", "21 to 23")
    assert captions == [f"{span} of 23 tunnels" for span in spans]
    last = page.get(LIST, {"before": "end"})
    assert words(last, "tunnels") == "19 to 23 of 23 tunnels"
    assert words(page.get(links(last)["Previous"]), "tunnels") == "14 to 18 of 23 tunnels"


def test_the_page_before_the_second_is_the_full_first_page(listed, page, account, concentrator):
    first = page.get(LIST)
    second = page.get(links(first)["Next"])
    Tunnel.objects.filter(name=tunnel_ids(first)[0]).update(cancelled_at=timezone.now())

    again = page.get(links(second)["Previous"])

    assert tunnel_ids(again) == [*tunnel_ids(first)[1:], tunnel_ids(second)[0]]
    assert "Previous" not in links(again)
    assert words(again, "tunnels") == "1 to 5 of 22 tunnels"


def test_a_link_behind_the_end_shows_the_last_page(listed, page):
    last_link = links(page.get(links(page.get(LIST))["Next"]))["Next"]
    keep = listed[:7]
    Tunnel.objects.exclude(name__in=keep).update(cancelled_at=timezone.now())

    response = page.get(last_link)

    assert tunnel_ids(response) == keep[-5:]
    assert words(response, "tunnels") == "3 to 7 of 7 tunnels"


def key(*values: object) -> str:
    text = values[0] if isinstance(values[0], bytes) else json.dumps(values).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")


NO_KEYS = [
    "",
    "=",
    "ü",
    "x" * 701,
    key("08ipsec101"),
    key("08ipsec101", "08ipsec101", "1"),
    key("08ipsec101", "08ipsec101", True),
    key("08ipsec101", "08ipsec101", 1 << 63),
    key("08ipsec101", 7, 1),
    key("a\0b", "08ipsec101", 1),
    key("08ipsec101", "a\0b", 1),
    key("\ud800", "08ipsec101", 1),
    key({"a": 1}, "08ipsec101", 1),
    key(b"[" * 500),
    key(b"\xff\xfe"),
    key(b"[NaN, Infinity, 1]"),
]


@pytest.mark.parametrize("order", ["name", "state", "applied", "-remote-peer"])
@pytest.mark.parametrize("name", ["after", "before"])
def test_a_key_that_is_none_shows_the_first_page(listed, page, order, name):
    for text in NO_KEYS:
        response = page.get(LIST, {"sort": order, name: text, "at": "9" * 40})

        assert words(response, "tunnels") == "1 to 5 of 23 tunnels", text


def test_a_key_of_another_order_shows_the_first_page(listed, page):
    href = links(page.get(LIST, {"sort": "applied"}))["Next"]

    response = page.get(href.replace("sort=applied", "sort=state"))

    assert words(response, "tunnels") == "1 to 5 of 23 tunnels"


def test_a_key_shows_no_tunnel_of_another_account(listed, page, bobs_page):
    theirs = links(page.get(LIST, {"sort": "account"}))["Next"]
    Membership.objects.filter(user__username="bob").delete()

    assert tunnel_ids(bobs_page.get(theirs)) == []


@pytest.mark.parametrize("order", ["name", "-state", "remote-peer"])
def test_a_page_needs_the_same_queries_with_23_and_with_223_tunnels(
    listed, page, account, concentrator, order
):
    def queries() -> int:
        url = links(page.get(LIST, {"sort": order}))["Next"]
        page.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert page.get(url).status_code == 200
        return len(captured)

    with_few = queries()
    Tunnel.objects.bulk_create(
        Tunnel(
            account=account,
            concentrator=concentrator,
            name=f"ipsec{number}",
            hosted_peer=str(IPv4Address("198.18.0.0") + number),
            remote_peer="198.51.100.200",
        )
        for number in range(1000, 1200)
    )

    assert queries() == with_few
    assert counts(page.get(LIST))["All"] == 223


def test_the_positions_of_a_middle_page_follow_its_links(listed, page):
    places = [words(page.get(url), "tunnels") for url in hrefs(page, "Next", "Next", "Previous")]

    starts = [int(text.split()[0]) for text in places]
    assert [later - earlier for earlier, later in pairwise(starts)] == [5, 5, -5]


def hrefs(page, *steps: str):
    url = LIST
    yield url
    for step in steps:
        url = links(page.get(url))[step]
        yield url
