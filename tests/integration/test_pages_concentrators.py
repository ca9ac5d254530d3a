"""The operators of the service see every concentrator, and nobody else knows of the page."""

from __future__ import annotations

from datetime import timedelta

import pytest
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
    """A browser of somebody who runs the service and belongs to no account."""
    client.force_login(User.objects.create_user("ops", password="a word", is_staff=True))
    return client


def table(answer, concentrator: Concentrator) -> dict[str, str]:
    """What the page says of one concentrator, by its words for it."""
    found = part(answer, f"concentrator-{concentrator.pk}")
    return {
        "".join(one.find("dt").itertext()): " ".join("".join(one.find("dd").itertext()).split())
        for one in found.find("dl")
    }


def links(answer) -> set[str]:
    return {e.get("href") for e in read(answer).iter("a")}


@pytest.mark.parametrize("who", ["page", "viewer", "stranger"])
def test_whoever_does_not_run_the_service_finds_nothing(request, who, concentrator):
    browser = request.getfixturevalue(who)

    assert browser.get(URL).status_code == 404
    assert URL not in links(browser.get("/tunnels/"))


def test_an_operator_finds_the_page_from_the_others_and_must_sign_in_for_it(operator, concentrator):
    assert URL in links(operator.get("/tunnels/"))
    assert operator.post(URL).status_code == 405
    operator.logout()
    assert operator.get(URL).headers["Location"] == f"/sign-in/?next={URL}"


def test_an_operator_sees_how_each_concentrator_stands(operator, account, concentrator):
    for number, word in enumerate(("up", "up", "older", "down", ""), start=1):
        make_tunnel(account, concentrator, f"ipsec00{number}")
        Tunnel.objects.filter(name=f"ipsec00{number}").update(sa_status=word)
    Tunnel.objects.filter(name="ipsec002").update(cancelled_at=timezone.now())
    Concentrator.objects.update(
        seen_at=timezone.now(),
        userland_esp=True,
        foreign_connections=["office", "<b>"],
        drop_counters={"to_the_gateway": 7, "between_tunnels": 0, "of_tomorrow": 1, "by_esp": 2},
        dropped_by_esp=3,
    )

    answer = operator.get(URL)

    assert words(answer, f"name-{concentrator.pk}") == "hou02-vpn01 in sight"
    assert table(answer, concentrator) == {
        "Data center": "Houston 2 (hou02)",
        "Public address": "203.0.113.1",
        "ESP": "carried by charon",
        "Tunnels": "4 Up 1 Up \N{EN DASH} settings out of date 1 Down 1 not on it 1",
        "Dropped packets": "Tunnel to the concentrator itself: 7 "
        "Tunnel to tunnel: 0 of_tomorrow: 1 "
        "Source not allowed in this tunnel (anti-spoofing): 5",
        "Connections that are not ours": "office, <b> left alone",
    }


@pytest.mark.parametrize(
    ("sight", "sentence"),
    [
        ({}, "Never seen yet. Nothing was heard from it; its watch may not be running."),
        (
            {"seen_at": "2026-01-01T10:00:00Z", "unreachable_reason": "The socket is gone."},
            "Not seen since 1 Jan 2026, 10:00:00 UTC. The socket is gone.",
        ),
    ],
    ids=["never", "not any more"],
)
def test_a_concentrator_out_of_sight_says_since_when_and_why(
    operator, concentrator, sight, sentence
):
    Concentrator.objects.update(**sight)

    text = words(operator.get(URL), f"concentrator-{concentrator.pk}")

    assert text.startswith(f"hou02-vpn01 out of sight {sentence} The rest is what was seen last.")


def test_the_newest_twenty_repairs_of_each_are_listed(operator, tunnel, concentrator):
    for number in range(22):
        concentrator.repairs.create(tunnel=tunnel if number % 2 else None, text=f"No {number}")

    told = part(operator.get(URL), f"concentrator-{concentrator.pk}").find("ol")

    lines = ["".join(e.find("span").itertext()) for e in told]
    assert (len(lines), lines[:2], lines[-1]) == (20, ["ipsec001: No 21", "No 20"], "No 2")


def test_ten_concentrators_cost_as_many_queries_as_one(operator, tunnel, concentrator):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(URL).status_code == 200
        return len(captured)

    few = queries()
    houston = Datacenter.objects.get()
    for number in range(9):
        lane = Concentrator.objects.create(
            name=f"vpn{number}", datacenter=houston, public_address=f"192.0.2.{number}"
        )
        lane.repairs.create(tunnel=tunnel, text="Loaded it", at=timezone.now() - timedelta(1))

    assert queries() == few <= 7
