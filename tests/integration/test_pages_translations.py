"""The customer's networks and the address translations: rows in, rows out, all or nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.urls import reverse

from tests.html import focused, part, read, typed, words
from vpnportal import services
from vpnportal.models import Subnet, Tunnel

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


@pytest.fixture
def ready(tunnel: Tunnel, user) -> Tunnel:
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    return Tunnel.objects.get(pk=tunnel.pk)


def nat() -> int:
    return Subnet.objects.get(network="10.1.255.92/30").pk


def translate(page, tunnel, headers, **rows):
    form = {}
    for last, (customer, name) in rows.items():
        form[f"customer-10.1.255.{last.removeprefix('at')}"] = customer
        form[f"name-10.1.255.{last.removeprefix('at')}"] = name
    return page.post(reverse("translations", args=[tunnel.pk]), form, headers=headers)


def kept(tunnel: Tunnel) -> list[tuple[str, str, str]]:
    return list(
        tunnel.translations.values_list("internal_address", "customer_address", "name").order_by(
            "internal_address"
        )
    )


def customer_networks(tunnel: Tunnel) -> list[str]:
    return [str(row.network) for row in tunnel.subnets.filter(kind=Subnet.Kind.CUSTOMER)]


@both
def test_a_remote_subnet_is_an_ip_address_and_a_cidr(tunnel, page, headers):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    answer = page.post(url, {"ip": "192.168.10.0", "cidr": "24"}, headers=headers, follow=True)

    assert customer_networks(tunnel) == ["192.168.10.0/24"]
    assert words(answer, "remote-subnets").startswith("Networks at the customer's end")
    assert typed(answer, "ip") == typed(answer, "cidr") == ""


@both
@pytest.mark.parametrize(
    ("ip", "cidr", "sentence"),
    [
        (
            "192.168.10.15",
            "24",
            "192.168.10.15/24 has host bits set. Did you mean 192.168.10.0/24?",
        ),
        ("10.1.255.999", "24", "Enter an IPv4 address such as 192.168.10.15."),
        (
            "192.168.10.0",
            "33",
            "Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.",
        ),
        (
            "0.0.0.0",
            "0",
            "0.0.0.0/0 matches all addresses. Enter the remote subnets.",
        ),
        ("192.168.10.0\n", "24", "Enter an IP address such as 192.168.10.0 and a CIDR such as 24."),
        (
            "192.168.10.0/24",
            "25",
            "The IP address has the prefix 24, but the CIDR is 25. Enter only one.",
        ),
        (
            "192.168.10.0 255.0.255.0",
            "",
            "Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.",
        ),
        (
            "169.254.1.0",
            "24",
            "169.254.1.0/24 is reserved (loopback, link-local, multicast or unassigned).",
        ),
        ("10.2.0.0", "24", "10.2.0.0/24 is already a subnet of this tunnel."),
        ("10.2.0.0", "16", "10.2.0.0/16 overlaps 10.2.0.0/24 of this tunnel."),
    ],
)
def test_a_wrong_subnet_is_explained_and_stays_typed(tunnel, page, headers, ip, cidr, sentence):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    answer = page.post(url, {"ip": ip, "cidr": cidr}, headers=headers)

    assert answer.status_code == 422
    assert words(answer, "note-remote") == sentence
    assert (typed(answer, "ip"), typed(answer, "cidr")) == (ip, cidr)
    assert customer_networks(tunnel) == []


@both
@pytest.mark.parametrize(
    ("ip", "cidr"),
    [
        ("192.168.10.0/24", ""),
        ("192.168.10.0 255.255.255.0", ""),
        ("192.168.10.0", "255.255.255.0"),
        (" 192.168.10.0/24 ", "24"),
        ("192.168.10.0", "/24"),
    ],
)
def test_a_network_is_understood_as_it_was_copied(tunnel, page, headers, ip, cidr):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    answer = page.post(url, {"ip": ip, "cidr": cidr}, headers=headers)

    assert answer.status_code in (200, 302)
    assert customer_networks(tunnel) == ["192.168.10.0/24"]


@both
def test_the_network_that_was_meant_is_taken_over_by_a_button(tunnel, page, headers):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    answer = page.post(url, {"ip": "10.9.0.5", "cidr": "24"}, headers=headers)

    (button,) = [e for e in read(answer).iter("button") if e.get("name") == "meant"]
    assert "".join(button.itertext()) == "Use 10.9.0.0/24"
    form = {"ip": "10.9.0.5", "cidr": "24", "meant": button.get("value")}
    page.post(url, form, headers=headers)
    assert customer_networks(tunnel) == ["10.9.0.0/24"]


def test_a_public_network_is_kept_and_warned_of(tunnel, page):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    answer = page.post(url, {"ip": "8.8.8.0", "cidr": "24"}, headers=HTMX)

    assert customer_networks(tunnel) == ["8.8.8.0/24"]
    assert "8.8.8.0/24 is a public range." in words(answer, "remote-subnets")


@both
def test_removing_a_network_says_which_translations_lead_nowhere_then(ready, page, headers, user):
    row = services.TranslationRow(
        IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
    )
    services.set_translations(ready, [row], user)
    subnet = Subnet.objects.get(kind=Subnet.Kind.CUSTOMER).pk

    url = reverse("remove-remote-subnet", args=[ready.pk, subnet])
    answer = page.post(url, headers=headers, follow=True)

    told = words(answer, "remote-subnets") if headers else words(answer, "live")
    assert "lead nowhere now: 10.1.255.92 → 192.168.10.15." in told
    with pytest.raises(services.Refused) as refusal:
        services.apply(Tunnel.objects.get(pk=ready.pk), user)
    assert "translation 10.1.255.92" in {one.field for one in refusal.value.problems}


@both
def test_a_remote_subnet_is_removed_by_its_button(ready, page, headers):
    subnet = Subnet.objects.get(kind=Subnet.Kind.CUSTOMER).pk

    page.post(reverse("remove-remote-subnet", args=[ready.pk, subnet]), headers=headers)

    assert customer_networks(ready) == []


def test_a_hosted_subnet_is_no_remote_subnet_and_stays(ready, page):
    hosted = Subnet.objects.get(kind=Subnet.Kind.HOSTED).pk

    page.post(reverse("remove-remote-subnet", args=[ready.pk, hosted]))

    assert ready.subnets.filter(pk=hosted).exists()


def test_an_expanded_subnet_lists_every_address(ready, page):
    plain = page.get(reverse("tunnel", args=[ready.pk]), {"open": nat()})
    htmx = page.get(reverse("subnet", args=[ready.pk, nat()]), headers=HTMX)
    addresses = [f"10.1.255.{last}" for last in (92, 93, 94, 95)]

    for answer in (plain, htmx):
        block = part(answer, f"subnet-{nat()}")
        assert [e.get("name") for e in block.iter("input") if e.get("aria-label")] == [
            f"{column}-{address}" for address in addresses for column in ("customer", "name")
        ]
        assert part(answer, f"expand-{nat()}").get("aria-expanded") == "true"


def test_a_subnet_is_collapsed_until_it_is_asked_for(ready, page):
    answer = page.get(reverse("tunnel", args=[ready.pk]))

    assert part(answer, f"expand-{nat()}").get("aria-expanded") == "false"
    assert [e for e in part(answer, "static-nat").iter("input") if e.get("aria-label")] == []


def test_a_subnet_of_another_tunnel_is_nothing_here(ready, second_tunnel, page):
    assert (
        page.get(reverse("subnet", args=[second_tunnel.pk, nat()]), headers=HTMX).status_code == 404
    )


@both
def test_the_table_is_saved_as_a_whole(ready, page, headers):
    answer = translate(
        page,
        ready,
        headers,
        at92=("192.168.10.15", "database"),
        at93=("", ""),
        at94=("192.168.10.16", ""),
    )

    assert answer.status_code in (200, 302)
    assert kept(ready) == [
        ("10.1.255.92", "192.168.10.15", "database"),
        ("10.1.255.94", "192.168.10.16", ""),
    ]


def test_saving_without_javascript_leads_back_to_the_open_table(ready, page):
    form = {"open": nat(), "customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    answer = page.post(reverse("translations", args=[ready.pk]), form)

    assert answer.headers["Location"] == f"/tunnels/{ready.pk}/?open={nat()}#static_nat"


@both
def test_an_emptied_row_removes_its_translation(ready, page, headers, user):
    services.set_translations(
        ready,
        [
            services.TranslationRow(
                IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
            )
        ],
        user,
    )

    translate(page, ready, headers, at92=("", ""))

    assert kept(ready) == []


@both
def test_one_wrong_row_saves_none_and_every_wrong_row_is_explained_beside_it(ready, page, headers):
    answer = translate(
        page,
        ready,
        headers,
        at92=("192.168.10.15", "right"),
        at93=("10.1.255.999", "no address"),
        at94=("192.168.99.1", "no network of the customer's"),
        at95=("192.168.10.16", "two\nlines"),
    )

    assert answer.status_code == 422
    assert kept(ready) == []
    assert words(answer, "note-10.1.255.92") == "Unsaved"
    assert words(answer, "note-10.1.255.93") == "Enter an IPv4 address such as 192.168.10.15."
    assert words(answer, "note-10.1.255.94").startswith("192.168.99.1 is not a host address in")
    assert words(answer, "note-10.1.255.95").startswith("Enter one line of printable text")
    assert typed(answer, "customer-10.1.255.93") == "10.1.255.999"
    assert typed(answer, "name-10.1.255.92") == "right"
    # In a table of hundreds the first wrong row is led to.
    assert focused(answer) == ["customer-10.1.255.93"]


@both
def test_one_customer_address_has_one_translation(ready, page, headers):
    answer = translate(page, ready, headers, at92=("192.168.10.15", ""), at93=("192.168.10.15", ""))

    assert answer.status_code == 422
    for at, other in (("92", "93"), ("93", "92")):
        assert words(answer, f"note-10.1.255.{at}") == (
            f"192.168.10.15 is the Customer IP for 10.1.255.{other} too. Keep one of the two."
        )


@both
def test_an_address_of_nobodys_subnet_is_refused(ready, page, headers):
    form = {"customer-10.9.9.9": "192.168.10.15", "name-10.9.9.9": ""}

    answer = page.post(reverse("translations", args=[ready.pk]), form, headers=headers)

    assert answer.status_code == 422
    assert kept(ready) == []
    assert words(answer, "static-nat").startswith("10.9.9.9 is in no static NAT subnet")


def test_a_row_that_is_no_address_is_a_bad_request(ready, page):
    form = {"customer-10.1.255.999": "192.168.10.15"}

    answer = page.post(reverse("translations", args=[ready.pk]), form)

    assert answer.status_code == 400
    assert "".join(next(read(answer).iter("h1")).itertext()) == "Bad request"
