"""The page Concentrators: the status of every concentrator, for service operators only."""

from __future__ import annotations

import tomllib
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from vpnportal.models import Concentrator, Datacenter, Tunnel

URL = "/concentrators/"


@pytest.fixture
def operator(client, db):
    """Return a browser of a service operator without an account."""
    client.force_login(User.objects.create_user("ops", password="a word", is_staff=True))
    return client


def facts(response, concentrator: Concentrator) -> dict[str, str]:
    """Return the values that the page shows of one concentrator, by their labels."""
    section = part(response, f"concentrator-{concentrator.pk}")
    return {
        "".join(row.find("dt").itertext()): " ".join("".join(row.find("dd").itertext()).split())
        for row in section.find("dl")
    }


def links(response) -> set[str]:
    return {e.get("href") for e in read(response).iter("a")}


@pytest.mark.parametrize("browser_name", ["page", "viewer", "stranger"])
def test_a_customer_gets_404_and_no_link(request, browser_name, concentrator):
    browser = request.getfixturevalue(browser_name)

    assert browser.get(URL).status_code == 404
    assert URL not in links(browser.get("/tunnels/"))


def test_an_operator_has_a_link_and_must_sign_in(operator, concentrator):
    assert URL in links(operator.get("/tunnels/"))
    assert operator.post(URL).status_code == 405
    operator.logout()
    assert operator.get(URL).headers["Location"] == f"/sign-in/?next={URL}"


def test_the_page_shows_state_tunnels_drops_and_unmanaged_connections(
    operator, account, concentrator
):
    for number, sa_status in enumerate(("up", "up", "older", "down", ""), start=1):
        make_tunnel(account, concentrator, f"ipsec00{number}")
        Tunnel.objects.filter(name=f"ipsec00{number}").update(sa_status=sa_status)
    Tunnel.objects.filter(name="ipsec002").update(cancelled_at=timezone.now())
    Concentrator.objects.update(
        seen_at=timezone.now(),
        userland_esp=True,
        foreign_connections=["office", "<b>"],
        drop_counters={"to_the_gateway": 7, "between_tunnels": 0, "of_tomorrow": 1, "by_esp": 2},
        dropped_by_esp=3,
    )

    response = operator.get(URL)

    assert words(response, f"name-{concentrator.pk}") == "hou02-vpn01 Online"
    assert facts(response, concentrator) == {
        "Data center": "Houston 2 (hou02)",
        "Public address": "203.0.113.1",
        "Certificate until": "none",
        "ESP": "user space",
        "Tunnels": "4 1 Up 1 Up \N{EN DASH} settings out of date 1 Down 1 Not applied",
        "Dropped packets": "Tunnel to tunnel: 0 "
        "Tunnel to the concentrator itself: 7 of_tomorrow: 1 "
        "Source not allowed in this tunnel, or not encrypted (anti-spoofing): 5",
        "Unmanaged connections": "office, <b>",
    }


def test_counters_of_the_kernel_say_that_they_begin_at_boot(operator, concentrator):
    Concentrator.objects.update(userland_esp=False, drop_counters={"by_esp": 2})

    shown = facts(operator.get(URL), concentrator)

    assert shown["Dropped packets since boot"] == (
        "Source not allowed in this tunnel, or not encrypted (anti-spoofing): 2"
    )


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (60, ""),
        (20, " It was not renewed in time. On the gateway: `vpnportal certificates renew`;"),
        (-1, " It has ended. `vpnportal gateway add hou02-vpn01` on the portal, then"),
    ],
    ids=["not due", "late", "ended"],
)
def test_the_end_of_a_gateways_certificate_is_shown_with_what_to_do(
    operator, concentrator, days, text
):
    until = timezone.now() + timedelta(days, seconds=30)
    Concentrator.objects.update(certificate_until=until)

    shown = facts(operator.get(URL), concentrator)["Certificate until"]

    time = f"{until:%H:%M:%S} UTC"
    assert (time in shown, shown.partition(time)[2].startswith(text)) == (True, True)
    assert text or shown.endswith(time)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "No status received. Check that the watch service is running."),
        (
            {"seen_at": "2026-01-01T10:00:00Z", "unreachable_reason": "The socket is gone."},
            "No status received since 1 Jan 2026, 10:00:00 UTC. The socket is gone.",
        ),
    ],
    ids=["never online", "offline"],
)
def test_an_offline_concentrator_shows_since_when_and_why(operator, concentrator, columns, text):
    Concentrator.objects.update(**columns)

    section = words(operator.get(URL), f"concentrator-{concentrator.pk}")

    assert section.startswith(f"hou02-vpn01 Offline {text} Values below are the last known.")


def test_the_newest_twenty_repairs_of_each_concentrator_are_listed(operator, tunnel, concentrator):
    for number in range(22):
        concentrator.repairs.create(tunnel=tunnel if number % 2 else None, text=f"No {number}")

    repairs = part(operator.get(URL), f"concentrator-{concentrator.pk}").find("ol")

    lines = ["".join(e.find("span").itertext()) for e in repairs]
    assert (len(lines), lines[:2], lines[-1]) == (20, ["ipsec001: No 21", "No 20"], "No 2")


def test_ten_concentrators_need_as_many_queries_as_a_single_concentrator(
    operator, tunnel, concentrator
):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(URL).status_code == 200
        return len(captured)

    before = queries()
    houston = Datacenter.objects.get()
    for number in range(9):
        concentrator = Concentrator.objects.create(
            name=f"vpn{number}",
            datacenter=houston,
            public_address=f"192.0.2.{number}",
            certificate_until=timezone.now() + timedelta(number),
        )
        concentrator.repairs.create(
            tunnel=tunnel, text="Loaded it", at=timezone.now() - timedelta(1)
        )

    assert queries() == before <= 9


def test_the_page_names_the_version_of_the_release_that_packages_have(operator):
    release = tomllib.loads((settings.ROOT / "release.toml").read_text())

    assert f"This is vpnportal {release['version']}." in words(operator.get(URL), "main")
