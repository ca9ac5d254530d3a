"""Peer configuration of the live revision or the draft, for users of the account only."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.html import part, read, words
from vpnportal import services
from vpnportal.domain.exports import EXPORTS
from vpnportal.models import Subnet, Tunnel
from vpnportal.reconciler import reconcile

CANARY = "canary of a preshared key"


@pytest.fixture
def live(ready, user, gateway, concentrator) -> Tunnel:
    """Return the example with revision 1 live, and a key that no page may contain."""
    services.set_preshared_key(ready, CANARY, user)
    services.apply(Tunnel.objects.get(pk=ready.pk), user)
    reconcile.converge(concentrator.pk)
    return Tunnel.objects.get(pk=ready.pk)


def url(tunnel: Tunnel) -> str:
    return reverse("other-end", args=[tunnel.pk])


def file(tunnel: Tunnel, slug: str) -> str:
    return reverse("other-end-file", args=[tunnel.pk, slug])


def every_page(tunnel: Tunnel) -> list[str]:
    sheet = reverse("hand-over", args=[tunnel.pk])
    return [url(tunnel), sheet, *(file(tunnel, slug) for slug in EXPORTS)]


def source(response) -> str:
    """Return the specification that the page is made from."""
    (paragraph,) = (p for p in read(response).iter("p") if "source" in p.get("class", "").split())
    return "".join(next(paragraph.iter("strong")).itertext())


def cell(response, row: str, column: int) -> str:
    """Return the text of a cell in the row with this heading."""
    (cells,) = (
        tr
        for tr in read(response).iter("tr")
        if len(tr) > column and "".join(tr[0].itertext()) == row
    )
    return " ".join("".join(cells[column].itertext()).split())


def test_the_page_has_each_export_of_the_live_revision_with_a_download(live, page, user):
    services.edit(live, "phase_one_group", 14, user)

    response = page.get(url(live))

    assert source(response) == "revision 1, which is live"
    for slug in EXPORTS:
        text = next(part(response, slug).iter("pre")).text
        link = next(part(response, slug).iter("a"))
        assert (link.get("href"), "download" in link.attrib) == (file(live, slug), True)
        assert text == page.get(link.get("href")).content.decode()
    assert "proposals = 3des-md5-modp1024" in next(part(response, "strongswan").iter("pre")).text


def test_the_draft_is_exported_on_request_and_all_links_stay_with_the_draft(live, page, user):
    services.edit(live, "phase_one_group", 14, user)

    response = page.get(url(live), {"of": "draft"})

    assert source(response) == "the draft, which is not applied"
    text = next(part(response, "strongswan").iter("pre")).text
    assert "proposals = 3des-md5-modp2048" in text
    links = [e.get("href") for e in read(response).iter("a") if "of=draft" in e.get("href", "")]
    assert len(links) == len(EXPORTS) + 1
    assert page.get(f"{file(live, 'strongswan')}?of=draft").content.decode() == text


def test_before_the_first_apply_the_draft_is_exported_with_its_problems(tunnel, page):
    response = page.get(url(tunnel))

    assert source(response) == "Nothing is applied yet."
    problems = [
        "".join(item.itertext())
        for div in read(response).iter("div")
        if div.get("class") == "refusal"
        for item in div.iter("li")
    ]
    assert problems == [
        "Remote Peer Address: Enter the static address of the customer's VPN device.",
        "Preshared Key: Enter the preshared key.",
        "Protected Customer (Remote) Subnet: Add at least one remote subnet.",
    ]
    assert {page.get(address).status_code for address in every_page(tunnel)} == {200}


def test_a_failed_or_deleted_tunnel_is_not_called_new(live, user, page):
    live.revisions.update(outcome="failed")
    failed = page.get(url(live))
    services.cancel(live, user)

    assert source(failed) == "No revision is live."
    assert source(page.get(url(live))) == "This tunnel was deleted."


@pytest.mark.parametrize("slug", EXPORTS)
def test_a_download_is_plain_text_that_no_browser_interprets(live, page, slug):
    response = page.get(file(live, slug))

    name = EXPORTS[slug].suffix
    assert response.headers["Content-Disposition"] == f'attachment; filename="ipsec001{name}"'
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_export_is_not_found(live, page):
    assert page.get(file(live, "passwd")).status_code == 404
    assert page.get(f"{url(live)}..%2Fpasswd/").status_code == 404


def test_the_sheet_has_every_parameter_of_both_phases_and_a_line_about_the_key(live, page):
    response = page.get(reverse("hand-over", args=[live.pk]))

    assert [cell(response, "Peer address", at) for at in (1, 2)] == ["203.0.113.1", "203.0.113.2"]
    subnets = [cell(response, "Protected subnets", at) for at in (1, 2)]
    assert subnets == ["10.2.0.0/24", "192.168.10.0/24"]
    assert cell(response, "Protocol", 1) == "IKEv1, main mode"
    assert [cell(response, "Encryption", at) for at in (1, 2)] == ["3DES", "3DES"]
    assert [cell(response, "Authentication", at) for at in (1, 2)] == ["MD5", "MD5"]
    group = "2, 1024-bit MODP"
    assert [cell(response, "Diffie-Hellman Group (DH)", at) for at in (1, 2)] == [group, group]
    assert cell(response, "Perfect Forward Secrecy (PFS)", 2) == "on"
    assert [cell(response, "Key Life (in seconds)", at) for at in (1, 2)] == ["14400", "3600"]
    translated = [cell(response, "10.1.255.92", at) for at in (1, 2)]
    assert translated == ["192.168.10.15", "database"]
    blanks = [p.text for p in read(response).iter("p") if p.get("class") == "blank"]
    assert blanks == ["Preshared key: exchanged separately", "Approved by (remote)"]


def test_no_page_contains_the_preshared_key(live, page):
    for address in every_page(live):
        for query in ("", "?of=draft"):
            assert CANARY not in page.get(address + query).content.decode()


def test_a_viewer_gets_every_page(live, viewer):
    assert {viewer.get(address).status_code for address in every_page(live)} == {200}


def test_a_stranger_gets_no_page(live, stranger):
    for address in every_page(live):
        assert stranger.get(address).status_code == 404
        assert stranger.get(f"{address}?of=draft").status_code == 404


def test_hostile_names_are_text_on_every_page(ready, page, user):
    name = "<img src=x>\n} secrets { x"
    services.edit(ready, "friendly_name", name, user)
    rows = [services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), name)]
    services.set_translations(ready, rows, user)

    for address in (url(ready), reverse("hand-over", args=[ready.pk])):
        assert not list(read(page.get(address)).iter("img"))
    hosts = page.get(file(ready, "hosts")).content.decode().split("\n")
    assert hosts[-2] == "10.1.255.92\timg-src-x-secrets-x\t# 192.168.10.15 img src=x secrets x"


def test_the_page_of_a_tunnel_links_to_the_peer_configuration(tunnel, page):
    response = page.get(reverse("tunnel", args=[tunnel.pk]))

    links = {"".join(a.itertext()): a.get("href") for a in read(response).iter("a")}
    assert links["Peer configuration"] == url(tunnel)
    assert words(page.get(url(tunnel)), "device") == "The remote device"


@pytest.mark.parametrize("route", ["other-end", "hand-over"])
def test_a_page_needs_the_same_queries_for_one_translation_and_for_a_hundred(
    tunnel, page, route, user
):
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    nat = Subnet.objects.create(
        account=tunnel.account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.1.254.0/24")
    )
    tunnel.subnets.add(nat)

    def count_queries(count: int) -> int:
        internal, customer = IPv4Address("10.1.254.0"), IPv4Address("192.168.10.0")
        rows = [
            services.TranslationRow(internal + n, customer + n, f"web{n}")
            for n in range(1, count + 1)
        ]
        services.set_translations(tunnel, rows, user)
        with CaptureQueriesContext(connection) as captured:
            assert page.get(reverse(route, args=[tunnel.pk])).status_code == 200
        return len(captured)

    count_queries(1)
    assert count_queries(1) == count_queries(100) <= 12
