"""Large static NAT subnets: pages of rows that keep the unsaved rows of other pages."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.html import form, part, read, words
from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import TranslationRow

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


@pytest.fixture
def large(account, tunnel, user) -> Subnet:
    """Return a /16 of a tunnel that also has a /30."""
    services.add_remote_subnet(tunnel, IPv4Network("172.16.0.0/15"), user)
    subnet = Subnet.objects.create(
        account=account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.7.0.0/16")
    )
    tunnel.subnets.add(subnet)
    return subnet


def save(tunnel: Tunnel, **rows: str) -> None:
    """Save rows; a keyword such as at_10_7_0_5 has a customer address and a name."""
    entered = []
    for at, text in rows.items():
        customer, _, name = text.partition(" ")
        internal = IPv4Address(at.removeprefix("at_").replace("_", "."))
        entered.append(TranslationRow(internal, IPv4Address(customer) if customer else None, name))
    services.set_translations(tunnel, entered, User.objects.get(username="ada"))


def post_subnet(page, tunnel: Tunnel, subnet: Subnet, headers=None, follow=True, **fields):
    url = reverse("subnet", args=[tunnel.pk, subnet.pk])
    return page.post(url, fields, headers=headers or {}, follow=follow)


def typed_into(answer, **rows: str) -> dict[str, list[str]]:
    """Return the form data of the table after text was typed into rows."""
    block = next(e for e in read(answer).iter("div") if e.get("class") == "subnet")
    whole = any(e.get("id") == "translations" for e in read(answer).iter("form"))
    sent = form(answer, "translations" if whole else block.get("id"))
    for at, text in rows.items():
        customer, _, name = text.partition(" ")
        address = at.removeprefix("at_").replace("_", ".")
        assert f"customer-{address}" in sent, f"{address} has no row here"
        sent[f"customer-{address}"], sent[f"name-{address}"] = [customer], [name]
    return sent


def names_of_rows(answer) -> list[str]:
    """Return the addresses that have a row, also in a read-only table."""
    return [(e.text or "").strip() for e in read(answer).iter("th") if e.get("scope") == "row"]


def addresses(answer) -> list[str]:
    return [
        e.get("name").removeprefix("customer-")
        for e in read(answer).iter("input")
        if e.get("name", "").startswith("customer-")
    ]


@both
def test_a_page_of_a_large_subnet_has_256_rows(tunnel, large, page, headers):
    answer = post_subnet(page, tunnel, large, headers, show="2")

    assert addresses(answer) == [f"10.7.1.{n}" for n in range(256)]
    assert "Page 2 of 256" in words(answer, f"subnet-{large.pk}")


def test_without_javascript_the_page_of_a_subnet_is_in_the_url(tunnel, large, page):
    answer = post_subnet(page, tunnel, large, follow=False, show="9")

    assert answer.headers["Location"] == (
        f"/tunnels/{tunnel.pk}/?open={large.pk}&page-{large.pk}=9#subnet-{large.pk}"
    )
    assert addresses(page.get(answer.headers["Location"]))[0] == "10.7.8.0"


@pytest.mark.parametrize("query", ["page-{0}=999999", "page-{0}=x", "page-{0}=-1", "only-{0}="])
def test_an_invalid_query_shows_an_existing_page(tunnel, large, page, query):
    answer = page.get(
        reverse("tunnel", args=[tunnel.pk]) + f"?open={large.pk}&" + query.format(large.pk)
    )

    assert len(addresses(answer)) == 256


@both
def test_a_filter_shows_only_translated_rows(tunnel, large, page, headers):
    save(tunnel, at_10_7_200_5="172.16.0.5 a", at_10_7_3_1="172.16.0.1 b")

    assert addresses(post_subnet(page, tunnel, large, headers, only="1")) == [
        "10.7.3.1",
        "10.7.200.5",
    ]


@both
def test_a_target_address_opens_its_page_at_its_row(tunnel, large, page, headers):
    fields = {"go": "1", f"to-{large.pk}": "10.7.200.5", "open": large.pk}

    answer = post_subnet(page, tunnel, large, headers, **fields)

    assert addresses(answer)[5] == "10.7.200.5"
    if headers:
        assert "autofocus" in part(answer, "customer-10.7.200.5").attrib
    else:
        assert answer.redirect_chain[-1][0].endswith("#customer-10.7.200.5")


@both
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.8.0.1", "10.8.0.1 is not in 10.7.0.0/16."),
        ("seven", "Enter an IPv4 address such as 192.168.10.15."),
    ],
)
def test_an_invalid_target_address_is_explained_and_stays_in_its_field(
    tunnel, large, page, headers, text, sentence
):
    fields = {"go": "1", f"to-{large.pk}": text, "open": large.pk, f"page-{large.pk}": "3"}

    answer = post_subnet(page, tunnel, large, headers, **fields)

    assert words(answer, f"note-to-{large.pk}") == sentence
    assert part(answer, f"to-{large.pk}").get("value") == text


@both
def test_enter_in_the_target_field_opens_the_page_and_saves_nothing(tunnel, large, page, headers):
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = typed_into(shown, at_10_7_0_9="172.16.0.9 typed")
    sent |= {"enter": "1", f"to-{large.pk}": "10.7.200.5"}

    answer = page.post(reverse("translations", args=[tunnel.pk]), sent, headers=headers)

    assert addresses(answer)[0] == "10.7.0.9"
    assert "10.7.200.5" in addresses(answer)
    assert "10.1.255.92/30" in words(answer, "static-nat")
    assert not tunnel.translations.exists()


@both
def test_another_page_keeps_unsaved_rows(tunnel, large, page, headers):
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = typed_into(shown, at_10_7_0_9="172.16.0.9 typed")

    turned = post_subnet(page, tunnel, large, headers, **sent, show="2")

    assert addresses(turned)[:2] == ["10.7.0.9", "10.7.1.0"]
    assert part(turned, "name-10.7.0.9").get("value") == "typed"
    assert "1 unsaved row of 10.7.0.0/16" in words(turned, f"subnet-{large.pk}")
    assert not tunnel.translations.exists()


@both
def test_a_collapsed_subnet_keeps_unsaved_rows(tunnel, large, page, headers):
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = typed_into(shown, at_10_7_0_9="172.16.0.9 typed")

    closed = post_subnet(page, tunnel, large, headers, **sent, show="0")

    assert addresses(closed) == ["10.7.0.9"]
    assert part(closed, f"expand-{large.pk}").get("aria-expanded") == "false"


def test_the_rows_of_all_pages_are_saved_together(tunnel, large, page):
    save(tunnel, at_10_7_1_1="172.16.1.1 old")
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = typed_into(shown, at_10_7_0_9="172.16.0.9 first")
    turned = post_subnet(page, tunnel, large, **sent, show="2")
    sent = typed_into(turned, at_10_7_1_1=" ", at_10_7_1_7="172.16.1.7 second")

    answer = page.post(reverse("translations", args=[tunnel.pk]), sent)

    rows = tunnel.translations.values_list("internal_address", "name").order_by("pk")
    assert list(rows) == [("10.7.0.9", "first"), ("10.7.1.7", "second")]
    assert answer.headers["Location"].endswith(f"?open={large.pk}&page-{large.pk}=2#static_nat")


@both
def test_an_invalid_row_of_another_page_is_explained_beside_it(tunnel, large, page, headers):
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = typed_into(shown, at_10_7_0_9="10.9.9.9 wrong")
    turned = post_subnet(page, tunnel, large, **sent, show="2")

    answer = page.post(
        reverse("translations", args=[tunnel.pk]), typed_into(turned), headers=headers
    )

    assert answer.status_code == 422
    assert words(answer, "note-10.7.0.9").startswith("10.9.9.9 is not a host address in")


def test_an_open_page_does_not_revert_a_row_that_another_user_changed(tunnel, large, page):
    save(tunnel, at_10_7_0_5="172.16.0.5 old", at_10_7_0_6="172.16.0.6 old")
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    save(tunnel, at_10_7_0_5="172.16.0.55 theirs", at_10_7_0_7="172.16.0.7 theirs")

    page.post(
        reverse("translations", args=[tunnel.pk]),
        typed_into(shown, at_10_7_0_6="172.16.0.66 mine"),
    )

    names = tunnel.translations.values_list("internal_address", "name").order_by("pk")
    assert dict(names) == {"10.7.0.5": "theirs", "10.7.0.6": "mine", "10.7.0.7": "theirs"}


@both
def test_a_row_that_both_users_changed_is_overwritten_only_by_a_second_save(
    tunnel, large, page, headers
):
    save(tunnel, at_10_7_0_5="172.16.0.5 old")
    shown = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    save(tunnel, at_10_7_0_5="172.16.0.55 theirs")
    sent, url = (
        typed_into(shown, at_10_7_0_5="172.16.0.5 mine"),
        reverse("translations", args=[tunnel.pk]),
    )

    refused = page.post(url, sent, headers=headers)

    assert refused.status_code == 409
    assert words(refused, "note-10.7.0.5").startswith("ada changed this to 172.16.0.55 theirs at")
    assert part(refused, "name-10.7.0.5").get("value") == "mine"
    again = form(refused, "translations" if not headers else "static-nat")
    page.post(url, {k: v for k, v in again.items() if k != "enter"}, headers=headers)
    assert tunnel.translations.get().name == "mine"


def test_apply_links_to_the_page_with_the_invalid_row(tunnel, large, page):
    save(tunnel, at_10_7_200_5="172.16.0.5 a")
    remote = tunnel.subnets.get(kind=Subnet.Kind.CUSTOMER).pk
    services.remove_remote_subnet(tunnel, remote, User.objects.get(username="ada"))

    answer = page.post(reverse("apply", args=[tunnel.pk]))

    links = [e.get("href") for e in part(answer, "problems").iter("a")]
    assert f"/tunnels/{tunnel.pk}/?open={large.pk}&page-{large.pk}=201#customer-10.7.200.5" in links


def test_more_rows_than_a_form_can_have_are_not_opened_together(account, tunnel, page):
    blocks = list(IPv4Network("10.8.0.0/16").subnets(new_prefix=24))[:20]
    rows = [
        Subnet.objects.create(account=account, kind=Subnet.Kind.STATIC_NAT, network=block)
        for block in blocks
    ]
    tunnel.subnets.add(*rows)

    answer = page.get(reverse("tunnel", args=[tunnel.pk]), {"open": [row.pk for row in rows]})

    assert len(addresses(answer)) == 4096
    assert words(answer, f"subnet-{rows[16].pk}").endswith("close another subnet first.")


def test_a_viewer_can_open_pages_and_addresses_without_javascript(tunnel, large, viewer):
    shown = viewer.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk})
    sent = form(shown, "translations") | {f"to-{large.pk}": ["10.7.200.5"]}

    at_address = viewer.get(reverse("look", args=[tunnel.pk]), {**sent, "enter": "1"}, follow=True)
    third_page = viewer.get(
        reverse("subnet", args=[tunnel.pk, large.pk]), {**sent, "show": "3"}, follow=True
    )

    assert sent.keys() == {"open", f"page-{large.pk}", f"to-{large.pk}"}
    assert "10.7.200.5" in names_of_rows(at_address)
    assert "10.7.2.0" in names_of_rows(third_page)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_table_needs_as_many_queries_for_a_thousand_translations_as_for_one(
    tunnel, large, page, headers
):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            post_subnet(page, tunnel, large, headers, show="1")
        return len(captured)

    save(tunnel, at_10_7_0_1="172.16.0.1 a")
    expected = queries()
    first, beyond = IPv4Address("10.7.0.0"), IPv4Address("172.16.0.0")
    rows = [TranslationRow(first + n, beyond + n, "x") for n in range(2, 1000)]
    services.set_translations(tunnel, rows, User.objects.get(username="ada"))

    assert queries() == expected


def test_a_form_with_too_many_rows_is_a_bad_request(tunnel, page):
    rows = {f"customer-10.7.{n >> 8}.{n & 255}": "1" for n in range(30_000)}

    assert page.post(reverse("translations", args=[tunnel.pk]), rows).status_code == 400
