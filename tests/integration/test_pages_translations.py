"""Remote subnets and the translation table: rows are saved all together or not at all."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.urls import reverse

from tests.html import focused, part, read, typed, words
from vpnportal import services
from vpnportal.models import NetworkGrant, Subnet, Tunnel

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
    for key, (customer, name) in rows.items():
        form[f"customer-10.1.255.{key.removeprefix('at')}"] = customer
        form[f"name-10.1.255.{key.removeprefix('at')}"] = name
    return page.post(reverse("translations", args=[tunnel.pk]), form, headers=headers)


def saved(tunnel: Tunnel) -> list[tuple[str, str, str]]:
    return list(
        tunnel.translations.values_list("internal_address", "customer_address", "name").order_by(
            "internal_address"
        )
    )


def remote_subnets(tunnel: Tunnel) -> list[str]:
    return [str(row.network) for row in tunnel.subnets.filter(kind=Subnet.Kind.CUSTOMER)]


@both
def test_a_remote_subnet_is_an_ip_address_and_a_cidr(tunnel, page, headers):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    response = page.post(url, {"ip": "192.168.10.0", "cidr": "24"}, headers=headers, follow=True)

    assert remote_subnets(tunnel) == ["192.168.10.0/24"]
    assert words(response, "remote-subnets").startswith("Remote subnets of this tunnel")
    assert typed(response, "ip") == typed(response, "cidr") == ""


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
def test_a_malformed_subnet_is_explained_and_stays_typed(tunnel, page, headers, ip, cidr, sentence):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    response = page.post(url, {"ip": ip, "cidr": cidr}, headers=headers)

    assert response.status_code == 422
    assert words(response, "note-remote") == sentence
    assert (typed(response, "ip"), typed(response, "cidr")) == (ip, cidr)
    assert remote_subnets(tunnel) == []


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
def test_a_subnet_can_be_entered_in_every_usual_notation(tunnel, page, headers, ip, cidr):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    response = page.post(url, {"ip": ip, "cidr": cidr}, headers=headers)

    assert response.status_code in (200, 302)
    assert remote_subnets(tunnel) == ["192.168.10.0/24"]


@both
def test_a_button_enters_the_corrected_network(tunnel, page, headers):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    response = page.post(url, {"ip": "10.9.0.5", "cidr": "24"}, headers=headers)

    (button,) = [e for e in read(response).iter("button") if e.get("name") == "meant"]
    assert "".join(button.itertext()) == "Use 10.9.0.0/24"
    form = {"ip": "10.9.0.5", "cidr": "24", "meant": button.get("value")}
    page.post(url, form, headers=headers)
    assert remote_subnets(tunnel) == ["10.9.0.0/24"]


def test_a_public_network_is_saved_with_a_warning(tunnel, page, user):
    url = reverse("add-remote-subnet", args=[tunnel.pk])

    response = page.post(url, {"ip": "8.8.8.0", "cidr": "24"}, headers=HTMX)

    assert remote_subnets(tunnel) == ["8.8.8.0/24"]
    without_grant = "8.8.8.0/24 has public addresses. Apply refuses it unless"
    assert without_grant in words(response, "remote-subnets")
    own_page = reverse("tunnel", args=[tunnel.pk])
    grant = NetworkGrant.objects.create(account=tunnel.account, network=IPv4Network("8.8.8.0/24"))
    assert "8.8.8.0/24 is a public range." in words(page.get(own_page), "remote-subnets")
    grant.delete()
    services.edit(tunnel, "translated_only", True, user)
    assert "public" not in words(page.get(own_page), "remote-subnets")


@both
def test_a_removed_subnet_names_the_translations_without_a_remote_subnet(
    ready, page, headers, user
):
    row = services.TranslationRow(
        IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
    )
    services.set_translations(ready, [row], user)
    subnet = Subnet.objects.get(kind=Subnet.Kind.CUSTOMER).pk

    url = reverse("remove-remote-subnet", args=[ready.pk, subnet])
    response = page.post(url, headers=headers, follow=True)

    warning = words(response, "remote-subnets") if headers else words(response, "live")
    assert (
        "These translations have no matching remote subnet: 10.1.255.92 → 192.168.10.15."
    ) in warning
    with pytest.raises(services.Refused) as refusal:
        services.apply(Tunnel.objects.get(pk=ready.pk), user)
    assert "translation 10.1.255.92" in {problem.field for problem in refusal.value.problems}


@both
def test_a_remote_subnet_is_removed_by_its_button(ready, page, headers):
    subnet = Subnet.objects.get(kind=Subnet.Kind.CUSTOMER).pk

    page.post(reverse("remove-remote-subnet", args=[ready.pk, subnet]), headers=headers)

    assert remote_subnets(ready) == []


def test_a_hosted_subnet_cannot_be_removed_as_a_remote_one(ready, page):
    hosted = Subnet.objects.get(kind=Subnet.Kind.HOSTED).pk

    page.post(reverse("remove-remote-subnet", args=[ready.pk, hosted]))

    assert ready.subnets.filter(pk=hosted).exists()


def test_an_expanded_subnet_lists_every_address(ready, page):
    plain = page.get(reverse("tunnel", args=[ready.pk]), {"open": nat()})
    htmx = page.get(reverse("subnet", args=[ready.pk, nat()]), headers=HTMX)
    addresses = [f"10.1.255.{octet}" for octet in (92, 93, 94, 95)]

    for response in (plain, htmx):
        block = part(response, f"subnet-{nat()}")
        assert [e.get("name") for e in block.iter("input") if e.get("aria-label")] == [
            f"{column}-{address}" for address in addresses for column in ("customer", "name")
        ]
        assert part(response, f"expand-{nat()}").get("aria-expanded") == "true"


def test_a_subnet_is_closed_at_first(ready, page):
    response = page.get(reverse("tunnel", args=[ready.pk]))

    assert part(response, f"expand-{nat()}").get("aria-expanded") == "false"
    assert [e for e in part(response, "static-nat").iter("input") if e.get("aria-label")] == []


def test_a_subnet_of_another_tunnel_is_not_found(ready, second_tunnel, page):
    assert (
        page.get(reverse("subnet", args=[second_tunnel.pk, nat()]), headers=HTMX).status_code == 404
    )


@both
def test_all_rows_of_the_table_are_saved_together(ready, page, headers):
    response = translate(
        page,
        ready,
        headers,
        at92=("192.168.10.15", "database"),
        at93=("", ""),
        at94=("192.168.10.16", ""),
    )

    assert response.status_code in (200, 302)
    assert saved(ready) == [
        ("10.1.255.92", "192.168.10.15", "database"),
        ("10.1.255.94", "192.168.10.16", ""),
    ]


def test_without_javascript_saving_leads_back_to_the_open_table(ready, page):
    form = {"open": nat(), "customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    response = page.post(reverse("translations", args=[ready.pk]), form)

    assert response.headers["Location"] == f"/tunnels/{ready.pk}/?open={nat()}#static_nat"


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

    assert saved(ready) == []


@both
def test_a_malformed_row_prevents_saving_and_every_problem_is_explained_at_its_row(
    ready, page, headers
):
    response = translate(
        page,
        ready,
        headers,
        at92=("192.168.10.15", "right"),
        at93=("10.1.255.999", "no address"),
        at94=("192.168.99.1", "no network of the customer's"),
        at95=("192.168.10.16", "two\nlines"),
    )

    assert response.status_code == 422
    assert saved(ready) == []
    assert words(response, "note-10.1.255.92") == "Unsaved"
    assert words(response, "note-10.1.255.93") == "Enter an IPv4 address such as 192.168.10.15."
    assert words(response, "note-10.1.255.94").startswith("192.168.99.1 is not a host address in")
    assert words(response, "note-10.1.255.95").startswith("Enter one line of printable text")
    assert typed(response, "customer-10.1.255.93") == "10.1.255.999"
    assert typed(response, "name-10.1.255.92") == "right"
    # The first row with a problem takes the focus: a table may have hundreds of rows.
    assert focused(response) == ["customer-10.1.255.93"]


@both
def test_a_customer_ip_can_have_one_translation_only(ready, page, headers):
    response = translate(
        page, ready, headers, at92=("192.168.10.15", ""), at93=("192.168.10.15", "")
    )

    assert response.status_code == 422
    for row, other in (("92", "93"), ("93", "92")):
        assert words(response, f"note-10.1.255.{row}") == (
            f"192.168.10.15 is the Customer IP for 10.1.255.{other} too. Keep one of the two."
        )


@both
def test_an_address_outside_the_static_nat_subnets_is_refused(ready, page, headers):
    form = {"customer-10.9.9.9": "192.168.10.15", "name-10.9.9.9": ""}

    response = page.post(reverse("translations", args=[ready.pk]), form, headers=headers)

    assert response.status_code == 422
    assert saved(ready) == []
    assert words(response, "static-nat").startswith("10.9.9.9 is in no static NAT subnet")


def test_a_row_with_a_malformed_address_is_a_bad_request(ready, page):
    form = {"customer-10.1.255.999": "192.168.10.15"}

    response = page.post(reverse("translations", args=[ready.pk]), form)

    assert response.status_code == 400
    assert "".join(next(read(response).iter("h1")).itertext()) == "Bad request"
