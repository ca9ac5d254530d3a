"""The Status section: what runs, what it carried, and nothing that nobody knows."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from ipaddress import IPv4Network
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.html import part, words
from tests.integration.traffic_rows import record_traffic
from vpnportal import services
from vpnportal.domain.traffic.counters import TrafficCounts, minute_of, moment_of
from vpnportal.domain.tunnel.algorithms import Suite
from vpnportal.models import (
    AddressTranslation,
    Concentrator,
    Profile,
    Revision,
    Subnet,
    Traffic,
    Tunnel,
)

HTMX = {"HX-Request": "true"}
PAIR = "10.2.0.0/24 192.168.10.0/24"


@pytest.fixture(autouse=True)
def _nothing_is_rendered_yet():
    cache.clear()


@pytest.fixture
def live(ready, user) -> Tunnel:
    """The mission's example, live and up, and its concentrator in sight for an hour."""
    return make_live(ready, user)


def make_live(tunnel: Tunnel, user) -> Tunnel:
    services.apply(tunnel, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    now = minute_of(timezone.now())
    Concentrator.objects.update(seen_at=timezone.now(), observed_minutes=[[now - 70, now + 1]])
    Tunnel.objects.update(sa_status="up")
    return Tunnel.objects.get(pk=tunnel.pk)


def add_remote_subnets(tunnel: Tunnel, number: int) -> None:
    for at in range(number):
        tunnel.subnets.add(
            Subnet.objects.create(
                account=tunnel.account, kind="customer", network=IPv4Network(f"172.16.{at}.0/24")
            )
        )


def this_minute() -> int:
    """The minute that runs, and not for an instant only."""
    if (now := timezone.now()).second == 59:
        time.sleep(1)
    return minute_of(now + timedelta(seconds=1))


def status(page, tunnel: Tunnel, **query: str):
    return page.get(reverse("status", args=[tunnel.pk]), query, headers=HTMX)


def rows(answer) -> list[list[str]]:
    """The cells of each pair, as a person reads them."""
    table = next(part(answer, "status").iter("table"))
    found = [
        [" ".join("".join(td.itertext()).split()) for td in tr.iter("td")]
        for tr in table.iter("tr")
    ]
    return [plain(cells) for cells in found if cells]


def plain(cells: list[str]) -> list[str]:
    return [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in cells]


def paths(picture) -> dict[str, str]:
    """The paths of a chart by what they show."""
    return {e.get("class"): e.get("d") for e in picture.iter("path")}


def charts(answer) -> list[tuple[str, dict[str, str]]]:
    """The chart of each pair: its words, and its paths."""
    table = next(part(answer, "status").iter("table"))
    pictures = [e for e in table.iter("svg") if e.get("class") == "chart"]
    told = [" ".join("".join(e.itertext()).split()) for e in pictures]
    return list(zip(plain(told), map(paths, pictures), strict=True))


def drawn(answer) -> list[str]:
    """The texts of the drawing for wide screens, in order."""
    svg = next(e for e in part(answer, "status").iter("svg") if e.get("class") == "drawing beside")
    return ["".join(e.itertext()) for e in svg.iter("text")]


def token(answer) -> str:
    return part(answer, "status").get("hx-get").partition("seen=")[2]


def test_what_was_never_applied_is_not_drawn(tunnel, page):
    answer = status(page, tunnel)

    assert words(answer, "status") == (
        "Status Nothing of this tunnel is on a concentrator. It is drawn here once it is applied."
    )


def test_a_pair_tells_its_algorithms_what_it_carried_and_when_it_gets_new_keys(live, page):
    record_traffic(live)

    (row,) = rows(status(page, live))

    del row[6]
    assert row == [
        "10.2.0.0/24",
        "192.168.10.0/24",
        "up",
        "3DES, MD5, group 2",
        "1.2 GB 900,000 packets",
        "300 MB 1 packet",
        "in 23 minutes",
    ]


def test_the_drawing_leads_from_the_servers_to_the_customer_and_names_the_translation(live, page):
    answer = status(page, live)
    pictures = [e for e in part(answer, "status").iter("svg") if "drawing" in e.get("class", "")]

    assert drawn(answer) == [
        *("Hosted subnets", "10.2.0.0/24"),
        *("Concentrator", "203.0.113.1", "hou02-vpn01"),
        *("Remote peer", "203.0.113.2"),
        *("Remote subnets", "192.168.10.0/24"),
        *("Address translations", "10.1.255.92 ↔ 192.168.10.15 database"),
        "up",
    ]
    assert "The tunnel between them is up." in words(answer, "beside-words")
    assert words(answer, "column-words") == words(answer, "beside-words")
    assert all(picture.get("aria-labelledby") for picture in pictures)


def test_what_is_too_much_for_the_drawing_is_folded_in_words(ready, user, page):
    add_remote_subnets(ready, 30)
    for at in range(256):
        AddressTranslation.objects.create(
            tunnel=ready, internal_address=f"10.9.0.{at}", customer_address=f"172.16.0.{at}"
        )
    ready.subnets.add(
        Subnet.objects.create(
            account=ready.account, kind="static-nat", network=IPv4Network("10.9.0.0/24")
        )
    )
    AddressTranslation.objects.filter(customer_address__in=("172.16.0.0", "172.16.0.255")).delete()
    live = make_live(ready, user)
    record_traffic(live)

    answer = status(page, live)

    told = drawn(answer)
    assert told[told.index("Remote subnets") + 6] == "and 26 more"
    assert told[told.index("Address translations") + 6] == "and 250 more"
    assert len(rows(answer)) == 10
    assert words(answer, "more-pairs-summary") == "and 21 more: 21 up"


def test_names_that_people_gave_are_shortened_and_only_text(live, user, page):
    AddressTranslation.objects.update(name="<b>A name that is far too long for it</b>")
    make_live(live, user)

    answer = status(page, live)

    assert drawn(answer)[-2] == "10.1.255.92 ↔ 192.168.10.15 <b>A name that …"
    assert not list(part(answer, "status").iter("b"))


def test_pairs_that_should_run_and_do_not_are_down_and_keep_what_they_carried(ready, user, page):
    add_remote_subnets(ready, 2)
    live = make_live(ready, user)
    Tunnel.objects.update(sa_status="partial")
    record_traffic(live)
    record_traffic(live, child_count=1)

    found = rows(status(page, live))

    assert sorted(row[2] for row in found) == ["Down", "Down", "Up"]
    assert all(row[4] == "1.2 GB 900,000 packets" for row in found if row[2] == "Down")


def test_what_is_being_dialled_is_connecting_and_not_down(live, page):
    Tunnel.objects.update(sa_status="connecting")

    assert [row[2] for row in rows(status(page, live))] == ["Connecting"]


def test_what_somebody_disconnected_is_disconnected_and_not_down(live, page):
    Tunnel.objects.update(sa_status="", disconnected_at=timezone.now())

    answer = status(page, live)

    assert [row[2] for row in rows(answer)] == ["Disconnected"]
    assert drawn(answer)[-1] == "disconnected"


def test_a_pair_that_runs_with_older_settings_says_so_and_what_is_applied(live, page):
    record_traffic(live, name="ctx1-00000000-00000000", suite=Suite("AES_CBC-256", "HMAC_SHA1_96"))

    (row,) = rows(status(page, live))

    assert row[2:4] == [
        "Up \N{EN DASH} settings out of date",
        "AES256, SHA1 applied: 3DES, MD5, group 2",
    ]


def test_many_pairs_are_folded_and_those_that_are_not_well_come_first(ready, user, page):
    add_remote_subnets(ready, 220)
    live = make_live(ready, user)
    record_traffic(live, child_count=218)

    answer = status(page, live)

    found = rows(answer)
    assert (len(found), [row[2] for row in found[:4]]) == (10, ["Down"] * 3 + ["Up"])
    folded = part(answer, "more-pairs")
    assert words(answer, "more-pairs-summary") == "and 211 more: 211 up"
    assert len(list(folded.iter("tr"))) == 1 + 190
    assert "21 of them are not listed." in words(answer, "more-pairs")


def test_what_nobody_sees_is_unknown_with_its_age_and_never_down(live, page):
    record_traffic(live)
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(hours=3))

    answer = status(page, live)

    (row,) = rows(answer)
    assert row[2] == "Unknown up when it was seen last"
    assert row[7] == "–"
    assert "What follows was seen 3 hours ago" in words(answer, "status").replace("\xa0", " ")
    assert drawn(answer)[-1] == "Unknown"


def test_what_a_concentrator_counted_that_the_tunnel_has_left_is_not_shown_as_running(live, page):
    record_traffic(live)
    other = Concentrator.objects.create(
        name="old", datacenter=live.concentrator.datacenter, public_address="203.0.113.9"
    )
    Traffic.objects.update(concentrator=other)
    Tunnel.objects.update(sa_status="down")

    assert [row[2] for row in rows(status(page, live))] == ["Down"]


def test_the_last_hour_is_told_in_the_readers_time_with_its_peak_and_its_gaps(live, user, page):
    Profile.objects.create(user=user, time_zone="Europe/Berlin")
    now = this_minute()
    record_traffic(live)
    Traffic.objects.update(minutes={PAIR: [[now - 5, 30_000_000, 2_000_000, 9, 1]]})
    Concentrator.objects.update(observed_minutes=[[now - 59, now - 30], [now - 19, now]])

    caption = words(status(page, live), "hour-words")

    cet = f"{timezone.now().astimezone(ZoneInfo('Europe/Berlin')):%Z}"

    def berlin(minute: int) -> str:
        return f"{moment_of(minute).astimezone(ZoneInfo('Europe/Berlin')):%H:%M}"

    assert caption == (
        "In the last hour 30 MB in (9 packets), 2 MB out (1 packet); "
        f"peak 4 Mbit/s at {berlin(now - 5)} {cet}. "
        f"Not measured from {berlin(now - 29)} to {berlin(now - 19)} {cet}."
    )


def test_gaps_of_the_chart_are_neither_bars_nor_axis(live, page):
    now = this_minute()
    record_traffic(live)
    Traffic.objects.update(minutes={PAIR: [[now, 1, 0, 1, 0]]})
    Concentrator.objects.update(observed_minutes=[[now - 9, now]])

    figure = next(part(status(page, live), "status").iter("figure"))

    assert paths(figure) == {"axis": "M50 31H60", "in": "M0 31V31h59V1h1V31z", "out": ""}


def test_each_pair_has_its_own_hour_and_the_tunnel_that_of_all_it_had(ready, user, page):
    add_remote_subnets(ready, 1)
    live = make_live(ready, user)
    now = this_minute()
    record_traffic(live)
    Traffic.objects.update(
        minutes={
            PAIR: [[now - 1, 1_000, 500, 2, 1]],
            Traffic.GONE: [[now - 1, 1_000, 0, 1, 0]],
        }
    )

    answer = status(page, live)

    (theirs, idle) = sorted(charts(answer), key=lambda one: "peak" not in one[0])
    assert theirs[0].startswith("In the last hour 1 kB in (2 packets), 500 bytes out (1 packet);")
    assert theirs[1]["in"] == "M0 31V31h58V1h1V31h1V31z"
    assert theirs[1]["out"] == "M0 31V31h58V46h1V31h1V31z"
    assert idle == (
        "In the last hour 0 bytes in (0 packets), 0 bytes out (0 packets).",
        {"in": "", "out": "", "axis": "M0 31H60"},
    )
    assert words(answer, "hour-words").startswith("In the last hour 2 kB in (3 packets), ")


def test_pairs_that_one_association_carries_share_a_chart_and_the_page_says_so(ready, user, page):
    add_remote_subnets(ready, 2)
    services.edit(ready, "ike_version", 2, user)
    live = make_live(ready, user)
    record_traffic(live)

    (row,) = rows(status(page, live))

    assert row[6].endswith("3 pairs in one association, counted together")


def test_an_hour_that_nobody_measured_is_not_an_hour_of_nothing(live, page):
    Concentrator.objects.update(observed_minutes=[])

    answer = status(page, live)

    assert words(answer, "hour-words") == "Nothing was measured in the last hour."
    assert not [e for e in part(answer, "status").iter("path") if e.get("class") == "axis"]


def test_a_page_that_shows_the_newest_is_told_nothing(live, page):
    record_traffic(live)
    first = token(status(page, live))

    assert status(page, live, seen=first).status_code == 204
    record_traffic(live, TrafficCounts(800_000_000, 0, 1, 0))
    second = status(page, live, seen=first)
    assert (second.status_code, rows(second)[0][4]) == (200, "2 GB 900,001 packets")


@pytest.mark.parametrize(
    "change",
    [
        lambda: Tunnel.objects.update(sa_status="down"),
        lambda: Concentrator.objects.update(unreachable_reason="charon is not running."),
        lambda: Revision.objects.update(outcome="replaced"),
    ],
    ids=["sa_status", "sight", "revision"],
)
def test_whatever_shows_in_the_section_is_a_change(live, page, change):
    record_traffic(live)
    first = token(status(page, live))

    change()

    assert status(page, live, seen=first).status_code == 200


def test_each_reader_has_times_in_their_own_zone_although_a_change_is_rendered_once(
    live, user, page
):
    record_traffic(live)
    assert "UTC" in words(status(page, live), "status")

    Profile.objects.create(user=user, time_zone="America/Chicago")

    assert "CST" in words(status(page, live), "status")
    assert "UTC" not in words(status(page, live), "status")


class Connections:
    """What this process connects to, in the test that has `listening` switched on."""

    listening = False
    made: list[object] = []

    @classmethod
    def hook(cls, event: str, args: object) -> None:
        if cls.listening and event == "socket.connect":
            cls.made.append(args)


# A hook of Python's cannot be taken away again.
sys.addaudithook(Connections.hook)


@pytest.fixture
def connections(monkeypatch) -> list[object]:
    monkeypatch.setattr(Connections, "listening", True)
    monkeypatch.setattr(Connections, "made", [])
    return Connections.made


def test_looking_asks_nobody_but_the_database_and_that_in_two_queries(live, page, connections):
    record_traffic(live)
    seen = token(status(page, live))

    with CaptureQueriesContext(connection) as captured:
        assert status(page, live, seen=seen).status_code == 204

    asked = [query["sql"] for query in captured if "vpnportal_profile" not in query["sql"]]
    assert len([sql for sql in asked if '"vpnportal_' in sql]) == 2
    assert all(sql.startswith("SELECT") for sql in asked)
    assert connections == []


def test_a_section_that_was_rendered_for_somebody_is_not_rendered_again(live, page):
    record_traffic(live)
    status(page, live)

    with CaptureQueriesContext(connection) as captured:
        assert status(page, live).status_code == 200

    assert len([query for query in captured if '"vpnportal_' in query["sql"]]) == 3


def test_the_section_costs_the_same_for_one_pair_and_for_thirty(ready, user, page):
    def queries(tunnel: Tunnel) -> int:
        record_traffic(tunnel)
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            status(page, tunnel)
        return len(captured)

    few = queries(make_live(ready, user))
    add_remote_subnets(ready, 30)
    for at in range(1, 200):
        AddressTranslation.objects.create(
            tunnel=ready, internal_address=f"10.9.0.{at}", customer_address=f"172.16.0.{at}"
        )
    ready.subnets.add(
        Subnet.objects.create(
            account=ready.account, kind="static-nat", network=IPv4Network("10.9.0.0/24")
        )
    )

    assert queries(make_live(Tunnel.objects.get(pk=ready.pk), user)) == few


def test_without_javascript_the_page_has_the_section_and_its_address_leads_there(live, page):
    record_traffic(live)

    alone = page.get(reverse("status", args=[live.pk]))
    whole = page.get(reverse("tunnel", args=[live.pk]))

    assert alone.headers["Location"] == f"/tunnels/{live.pk}/#status"
    assert rows(whole)[0][4] == "1.2 GB 900,000 packets"
