"""Pages need a constant number of queries, independent of the number of rows."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from vpnportal import services
from vpnportal.models import Account, Concentrator, Datacenter, Revision, Subnet, Tunnel


def grow(account: Account, user, start: int, count: int) -> None:
    """Create tunnels, each on its own concentrator, live and with a pending change."""
    for number in range(start, start + count):
        concentrator = Concentrator.objects.create(
            name=f"vpn{number}",
            datacenter=Datacenter.objects.create(name=f"dc{number}", long_name=f"City {number}"),
            public_address=f"192.0.2.{number}",
        )
        tunnel = Tunnel.objects.create(
            account=account,
            concentrator=concentrator,
            name=f"ipsec{number}",
            hosted_peer=concentrator.public_address,
        )
        services.edit(tunnel, "remote_peer", f"198.51.100.{number}", user)
        services.set_preshared_key(tunnel, "a key", user)
        services.add_remote_subnet(tunnel, IPv4Network(f"172.16.{number}.0/24"), user)
        tunnel.subnets.add(Subnet.objects.get(network="10.2.0.0/24"))
        services.apply(tunnel, user)
        Revision.objects.update(outcome="live")
        services.edit(tunnel, "phase_one_keylife", 7200, user)


def count_queries(page, url: str) -> int:
    page.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert page.get(url).status_code == 200
    return len(captured)


def test_the_list_needs_the_same_queries_for_two_tunnels_and_for_twenty(
    account, tunnel, user, page
):
    grow(account, user, start=10, count=1)
    for_two = count_queries(page, reverse("tunnels"))
    grow(account, user, start=20, count=18)

    assert count_queries(page, reverse("tunnels")) == for_two <= 19


def test_a_poll_of_the_list_needs_the_same_queries_for_two_rows_and_for_twenty(
    account, tunnel, user, page
):
    def poll() -> str:
        rows = [("row", f"{pk}.old") for pk in Tunnel.objects.values_list("pk", flat=True)]
        return reverse("news", query=rows)

    grow(account, user, start=10, count=1)
    for_two = count_queries(page, poll())
    grow(account, user, start=20, count=18)

    assert count_queries(page, poll()) == for_two <= 17


@pytest.mark.parametrize("route", ["tunnel", "state"])
def test_a_page_needs_the_same_queries_for_one_translation_and_for_a_hundred(
    tunnel, user, page, route
):
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    nat = Subnet.objects.create(
        account=tunnel.account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.1.254.0/24")
    )
    tunnel.subnets.add(nat)
    url = reverse(route, args=[tunnel.pk]) + f"?open={nat.pk}"

    def translate(count: int) -> None:
        internal, customer = IPv4Address("10.1.254.0"), IPv4Address("192.168.10.0")
        rows = [
            services.TranslationRow(internal + n, customer + n, "web") for n in range(1, count + 1)
        ]
        services.set_translations(tunnel, rows, user)

    translate(1)
    for_one = count_queries(page, url)
    translate(100)

    assert count_queries(page, url) == for_one <= 25


def test_a_poll_needs_the_same_queries_after_one_apply_and_after_thirty(second_tunnel, user, page):
    def applied(outcome: str, count: int) -> None:
        for _ in range(count):
            services.apply(second_tunnel, user)
            Revision.objects.filter(outcome="queued").update(outcome=outcome, restored_number=1)
            second_tunnel.concentrator.repairs.create(tunnel=second_tunnel, text="Loaded it")

    url = reverse("state", args=[second_tunnel.pk])
    applied("live", 1)
    for_one = count_queries(page, url)
    applied("withdrawn", 30)

    with CaptureQueriesContext(connection) as captured:
        page.get(url)
    rows = [query["sql"] for query in captured if "vpnportal_revision" in query["sql"]]
    # For the state, for the newest revisions of the history, and for a wait after a restore.
    assert (len(captured), len(rows)) == (for_one, 3)
