"""For the other end: what is live or the draft, for everybody of the account and nobody else."""

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
    """The mission's example, live as revision 1, with a key that no page may show."""
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


def told_of(answer) -> str:
    """What the page says it is made from."""
    (found,) = (e for e in read(answer).iter("p") if "told-of" in e.get("class", ""))
    return "".join(next(found.iter("strong")).itertext())


def cell(answer, row: str, column: int) -> str:
    (found,) = (
        line
        for line in read(answer).iter("tr")
        if len(line) > column and "".join(line[0].itertext()) == row
    )
    return " ".join("".join(found[column].itertext()).split())


def test_the_page_shows_each_configuration_of_what_is_live_and_a_link_that_downloads_it(
    live, page, user
):
    services.edit(live, "phase_one_group", 14, user)

    answer = page.get(url(live))

    assert told_of(answer) == "revision 1, which is live"
    for slug in EXPORTS:
        shown = next(part(answer, slug).iter("pre")).text
        link = next(part(answer, slug).iter("a"))
        assert (link.get("href"), "download" in link.attrib) == (file(live, slug), True)
        assert shown == page.get(link.get("href")).content.decode()
    assert "proposals = 3des-md5-modp1024" in next(part(answer, "strongswan").iter("pre")).text


def test_the_draft_is_shown_when_it_is_asked_for_and_every_link_goes_on_with_it(live, page, user):
    services.edit(live, "phase_one_group", 14, user)

    answer = page.get(url(live), {"of": "draft"})

    assert told_of(answer) == "the draft, which is not applied"
    text = next(part(answer, "strongswan").iter("pre")).text
    assert "proposals = 3des-md5-modp2048" in text
    links = [e.get("href") for e in read(answer).iter("a") if "of=draft" in e.get("href", "")]
    assert len(links) == len(EXPORTS) + 1
    assert page.get(f"{file(live, 'strongswan')}?of=draft").content.decode() == text


def test_nothing_applied_yet_is_said_and_the_draft_shown_with_what_it_lacks(tunnel, page):
    answer = page.get(url(tunnel))

    assert told_of(answer) == "Nothing is applied yet."
    lacks = [
        "".join(item.itertext())
        for one in read(answer).iter("div")
        if one.get("class") == "refusal"
        for item in one.iter("li")
    ]
    assert lacks == [
        "Remote Peer Address: Enter the static address of the customer's VPN device.",
        "Preshared Key: Enter the preshared key.",
        "Protected Customer (Remote) Subnet: Add at least one remote subnet.",
    ]
    assert {page.get(one).status_code for one in every_page(tunnel)} == {200}


def test_a_tunnel_that_is_no_longer_live_is_not_called_new(live, user, page):
    live.revisions.update(outcome="failed")
    failed = page.get(url(live))
    services.cancel(live, user)

    assert told_of(failed) == "No revision is live."
    assert told_of(page.get(url(live))) == "This tunnel was cancelled."


@pytest.mark.parametrize("slug", EXPORTS)
def test_a_download_is_a_file_of_plain_text_that_no_browser_takes_for_anything_else(
    live, page, slug
):
    answer = page.get(file(live, slug))

    name = EXPORTS[slug].suffix
    assert answer.headers["Content-Disposition"] == f'attachment; filename="ipsec001{name}"'
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_there_is_no_other_file(live, page):
    assert page.get(file(live, "passwd")).status_code == 404
    assert page.get(f"{url(live)}..%2Fpasswd/").status_code == 404


def test_the_sheet_has_every_parameter_of_both_phases_and_a_line_for_the_key(live, page):
    answer = page.get(reverse("hand-over", args=[live.pk]))

    assert [cell(answer, "Peer address", at) for at in (1, 2)] == ["203.0.113.1", "203.0.113.2"]
    subnets = [cell(answer, "Protected subnets", at) for at in (1, 2)]
    assert subnets == ["10.2.0.0/24", "192.168.10.0/24"]
    assert cell(answer, "Protocol", 1) == "IKEv1, main mode"
    assert [cell(answer, "Encryption", at) for at in (1, 2)] == ["3DES", "3DES"]
    assert [cell(answer, "Authentication", at) for at in (1, 2)] == ["MD5", "MD5"]
    group = "2, 1024-bit MODP"
    assert [cell(answer, "Diffie-Hellman Group (DH)", at) for at in (1, 2)] == [group, group]
    assert cell(answer, "Perfect Forward Secrecy (PFS)", 2) == "on"
    assert [cell(answer, "Key Life (in seconds)", at) for at in (1, 2)] == ["14400", "3600"]
    translated = [cell(answer, "10.1.255.92", at) for at in (1, 2)]
    assert translated == ["192.168.10.15", "database"]
    blanks = [e.text for e in read(answer).iter("p") if e.get("class") == "blank"]
    assert blanks[0] == "Preshared key: exchanged separately"


def test_the_preshared_key_is_on_none_of_the_pages(live, page):
    for one in every_page(live):
        for of in ("", "?of=draft"):
            assert CANARY not in page.get(one + of).content.decode()


def test_a_viewer_may_have_all_of_it(live, viewer):
    assert {viewer.get(one).status_code for one in every_page(live)} == {200}


def test_a_stranger_finds_none_of_it(live, stranger):
    for one in every_page(live):
        assert stranger.get(one).status_code == stranger.get(f"{one}?of=draft").status_code == 404


def test_hostile_names_are_text_on_every_page(ready, page, user):
    name = "<img src=x>\n} secrets { x"
    services.edit(ready, "friendly_name", name, user)
    rows = [services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), name)]
    services.set_translations(ready, rows, user)

    for one in (url(ready), reverse("hand-over", args=[ready.pk])):
        assert not [e for e in read(page.get(one)).iter("img")]
    hosts = page.get(file(ready, "hosts")).content.decode().split("\n")
    assert hosts[-2] == "10.1.255.92\timg-src-x-secrets-x\t# 192.168.10.15 img src=x secrets x"


def test_the_page_of_a_tunnel_links_to_it(tunnel, page):
    answer = page.get(reverse("tunnel", args=[tunnel.pk]))

    assert url(tunnel) in [e.get("href") for e in read(answer).iter("a")]
    assert words(page.get(url(tunnel)), "device") == "The remote device"


@pytest.mark.parametrize("route", ["other-end", "hand-over"])
def test_it_costs_the_same_for_one_translation_and_for_a_hundred(tunnel, page, route, user):
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    nat = Subnet.objects.create(
        account=tunnel.account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.1.254.0/24")
    )
    tunnel.subnets.add(nat)

    def queries(count: int) -> int:
        inside, beyond = IPv4Address("10.1.254.0"), IPv4Address("192.168.10.0")
        rows = [
            services.TranslationRow(inside + i, beyond + i, f"web{i}") for i in range(1, count + 1)
        ]
        services.set_translations(tunnel, rows, user)
        with CaptureQueriesContext(connection) as captured:
            assert page.get(reverse(route, args=[tunnel.pk])).status_code == 200
        return len(captured)

    queries(1)
    assert queries(1) == queries(100) <= 12
