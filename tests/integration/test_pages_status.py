"""The Status section: diagram, subnet pairs and traffic, and nothing that is not known."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime, timedelta
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
def _empty_cache():
    cache.clear()


@pytest.fixture
def live(ready, user) -> Tunnel:
    """Return the example, live and up, at a concentrator that was observed for an hour."""
    return make_live(ready, user)


def make_live(tunnel: Tunnel, user) -> Tunnel:
    services.apply(tunnel, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    now = minute_of(timezone.now())
    Concentrator.objects.update(seen_at=timezone.now(), observed_minutes=[[now - 70, now + 1]])
    Tunnel.objects.update(sa_status="up")
    return Tunnel.objects.get(pk=tunnel.pk)


def add_remote_subnets(tunnel: Tunnel, count: int) -> None:
    for number in range(count):
        network = IPv4Network(f"172.16.{number}.0/24")
        tunnel.subnets.add(
            Subnet.objects.create(account=tunnel.account, kind="customer", network=network)
        )


def this_minute() -> int:
    """Return the present minute, which lasts for another second at least."""
    if (now := timezone.now()).second == 59:
        time.sleep(1)
    return minute_of(now + timedelta(seconds=1))


def status(page, tunnel: Tunnel, **query: str):
    return page.get(reverse("status", args=[tunnel.pk]), query, headers=HTMX)


def rows(response) -> list[list[str]]:
    """Return the texts of the cells of each subnet pair."""
    table = next(part(response, "status").iter("table"))
    cells = [
        [" ".join("".join(td.itertext()).split()) for td in tr.iter("td")]
        for tr in table.iter("tr")
    ]
    return [with_plain_spaces(row) for row in cells if row]


def with_plain_spaces(texts: list[str]) -> list[str]:
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]


def headings(response) -> list[str]:
    table = next(part(response, "status").iter("table"))
    return ["".join(th.itertext()) for th in table.iter("th")]


def paths(svg) -> dict[str, str]:
    """Return the paths of a chart by their classes."""
    return {path.get("class"): path.get("d") for path in svg.iter("path")}


def charts(response) -> list[tuple[str, dict[str, str]]]:
    """Return the chart of each subnet pair: its text and its paths."""
    table = next(part(response, "status").iter("table"))
    svgs = [svg for svg in table.iter("svg") if svg.get("class") == "chart"]
    texts = [" ".join("".join(svg.itertext()).split()) for svg in svgs]
    return list(zip(with_plain_spaces(texts), map(paths, svgs), strict=True))


def diagram_texts(response) -> list[str]:
    """Return the texts of the diagram for wide screens, in order."""
    svgs = part(response, "status").iter("svg")
    diagram = next(svg for svg in svgs if svg.get("class") == "drawing beside")
    return ["".join(text.itertext()) for text in diagram.iter("text")]


def token(response) -> str:
    return part(response, "status").get("hx-get").partition("seen=")[2]


def test_a_tunnel_that_was_never_applied_has_no_diagram(tunnel, page):
    assert words(status(page, tunnel), "status") == "Status Not applied yet"


def test_a_tunnel_without_a_live_revision_has_no_diagram(live, user, page):
    Revision.objects.update(outcome="failed")
    failed = words(status(page, live), "status")
    services.cancel(live, user)

    assert failed == "Status No revision is live"
    assert words(status(page, live), "status") == "Status Removed from the concentrator"


def test_a_pair_shows_its_proposal_its_traffic_and_its_rekey(live, page):
    record_traffic(live)

    response = status(page, live)

    (row,) = rows(response)
    del row[6]
    assert row == [
        "10.2.0.0/24",
        "192.168.10.0/24",
        "Up",
        "3DES, MD5, group 2",
        "1.2 GB 900,000 packets",
        "300 MB 1 packet",
        "23 minutes",
    ]
    assert headings(response) == [
        "Hosted subnets",
        "Remote subnets",
        "State",
        "Phase 2 proposal",
        "In",
        "Out",
        "Last hour",
        "Rekey in",
    ]


def test_the_ike_sa_and_the_totals_are_shown_above_and_below_the_pairs(live, page):
    record_traffic(live)

    text = words(status(page, live), "status").replace("\N{NO-BREAK SPACE}", " ")

    assert "IKE SA (IKEv1): 3DES, MD5, group 2. Established " in text
    assert "Rekey in 59 minutes." in text
    assert re.search(r"Totals since \S+ \S+ \d+, [0-9:]+ UTC, across rekeys", text)


def test_the_diagram_leads_from_the_servers_to_the_customer_and_names_the_translation(live, page):
    response = status(page, live)
    svgs = [
        svg for svg in part(response, "status").iter("svg") if "drawing" in svg.get("class", "")
    ]

    assert diagram_texts(response) == [
        *("Hosted subnets", "10.2.0.0/24"),
        *("Concentrator", "203.0.113.1", "hou02-vpn01"),
        *("Remote peer", "203.0.113.2"),
        *("Remote subnets", "192.168.10.0/24"),
        *("Address translations", "10.1.255.92 ↔ 192.168.10.15 database"),
        "Up",
    ]
    assert "Tunnel between them: Up." in words(response, "beside-words")
    assert words(response, "column-words") == words(response, "beside-words")
    assert all(svg.get("aria-labelledby") for svg in svgs)


def test_long_lists_in_the_diagram_are_folded(ready, user, page):
    add_remote_subnets(ready, 30)
    for number in range(256):
        AddressTranslation.objects.create(
            tunnel=ready,
            internal_address=f"10.9.0.{number}",
            customer_address=f"172.16.0.{number}",
        )
    ready.subnets.add(
        Subnet.objects.create(
            account=ready.account, kind="static-nat", network=IPv4Network("10.9.0.0/24")
        )
    )
    AddressTranslation.objects.filter(customer_address__in=("172.16.0.0", "172.16.0.255")).delete()
    live = make_live(ready, user)
    record_traffic(live)

    response = status(page, live)

    texts = diagram_texts(response)
    assert texts[texts.index("Remote subnets") + 6] == "and 26 more"
    assert texts[texts.index("Address translations") + 6] == "and 250 more"
    assert len(rows(response)) == 10
    assert words(response, "more-pairs-summary") == "and 21 more: 21 Up"


def test_names_of_translations_are_shortened_and_shown_as_text(live, user, page):
    AddressTranslation.objects.update(name="<b>A name that is far too long for it</b>")
    make_live(live, user)

    response = status(page, live)

    assert diagram_texts(response)[-2] == "10.1.255.92 ↔ 192.168.10.15 <b>A name that …"
    assert not list(part(response, "status").iter("b"))


def test_pairs_without_a_child_sa_are_down_and_keep_their_totals(ready, user, page):
    add_remote_subnets(ready, 2)
    live = make_live(ready, user)
    Tunnel.objects.update(sa_status="partial")
    record_traffic(live)
    record_traffic(live, child_count=1)

    pairs = rows(status(page, live))

    assert sorted(row[2] for row in pairs) == ["Down", "Down", "Up"]
    assert all(row[4] == "1.2 GB 900,000 packets" for row in pairs if row[2] == "Down")


def test_a_pair_that_the_concentrator_initiates_is_connecting_and_not_down(live, page):
    Tunnel.objects.update(sa_status="connecting")

    assert [row[2] for row in rows(status(page, live))] == ["Connecting"]


def test_a_pair_of_a_disconnected_tunnel_is_disconnected_and_not_down(live, page):
    Tunnel.objects.update(sa_status="", disconnected_at=timezone.now())

    response = status(page, live)

    assert [row[2] for row in rows(response)] == ["Disconnected"]
    assert diagram_texts(response)[-1] == "Disconnected"


def test_a_pair_with_older_settings_shows_the_applied_proposal_too(live, page):
    record_traffic(live, name="ctx1-00000000-00000000", suite=Suite("AES_CBC-256", "HMAC_SHA1_96"))

    (row,) = rows(status(page, live))

    assert row[2:4] == [
        "Up \N{EN DASH} settings out of date",
        "AES256, SHA1 applied: 3DES, MD5, group 2",
    ]


def test_of_many_pairs_those_that_are_not_up_come_first(ready, user, page):
    add_remote_subnets(ready, 220)
    live = make_live(ready, user)
    record_traffic(live, child_count=218)

    response = status(page, live)

    pairs = rows(response)
    assert (len(pairs), [row[2] for row in pairs[:4]]) == (10, ["Down"] * 3 + ["Up"])
    folded = part(response, "more-pairs")
    assert words(response, "more-pairs-summary") == "and 211 more: 211 Up"
    assert len(list(folded.iter("tr"))) == 1 + 190
    assert "21 of them are not listed." in words(response, "more-pairs")


def test_while_the_concentrator_is_offline_the_last_known_status_is_shown_and_never_down(
    live, page
):
    record_traffic(live)
    Concentrator.objects.update(seen_at=datetime(2026, 1, 1, 10, tzinfo=UTC))

    response = status(page, live)

    (row,) = rows(response)
    assert row[2] == "Unknown last state: Up"
    assert row[7] == "–"
    assert "Concentrator offline. Last known status, 1 Jan 2026, 10:00:00 UTC" in words(
        response, "status"
    )
    assert diagram_texts(response)[-1] == "Unknown"


def test_traffic_recorded_by_a_former_concentrator_is_not_shown(live, page):
    record_traffic(live)
    other = Concentrator.objects.create(
        name="old", datacenter=live.concentrator.datacenter, public_address="203.0.113.9"
    )
    Traffic.objects.update(concentrator=other)
    Tunnel.objects.update(sa_status="down")

    assert [row[2] for row in rows(status(page, live))] == ["Down"]


def test_the_last_hour_has_its_peak_and_its_gaps_in_the_users_time_zone(live, user, page):
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
        f"No data {berlin(now - 29)}\N{EN DASH}{berlin(now - 19)} {cet}."
    )


def test_gaps_of_the_chart_are_neither_bars_nor_axis(live, page):
    now = this_minute()
    record_traffic(live)
    Traffic.objects.update(minutes={PAIR: [[now, 1, 0, 1, 0]]})
    Concentrator.objects.update(observed_minutes=[[now - 9, now]])

    figure = next(part(status(page, live), "status").iter("figure"))

    assert paths(figure) == {"axis": "M50 31H60", "in": "M0 31V31h59V1h1V31z", "out": ""}


def test_each_pair_has_its_own_chart_and_the_tunnel_has_one_of_all_pairs_it_ever_had(
    ready, user, page
):
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

    response = status(page, live)

    (busy, idle) = sorted(charts(response), key=lambda chart: "peak" not in chart[0])
    assert busy[0].startswith("In the last hour 1 kB in (2 packets), 500 bytes out (1 packet);")
    assert busy[1]["in"] == "M0 31V31h58V1h1V31h1V31z"
    assert busy[1]["out"] == "M0 31V31h58V46h1V31h1V31z"
    assert idle == (
        "In the last hour 0 bytes in (0 packets), 0 bytes out (0 packets).",
        {"in": "", "out": "", "axis": "M0 31H60"},
    )
    assert words(response, "hour-words").startswith("In the last hour 2 kB in (3 packets), ")


def test_pairs_of_one_child_sa_share_a_chart_and_the_page_says_so(ready, user, page):
    add_remote_subnets(ready, 2)
    services.edit(ready, "ike_version", 2, user)
    live = make_live(ready, user)
    record_traffic(live)

    (row,) = rows(status(page, live))

    assert row[6].endswith("3 pairs in one CHILD_SA, counted together")


def test_an_hour_without_samples_is_no_hour_without_traffic(live, page):
    Concentrator.objects.update(observed_minutes=[])

    response = status(page, live)

    assert words(response, "hour-words") == "No data in the last hour."
    assert not [e for e in part(response, "status").iter("path") if e.get("class") == "axis"]


def test_a_poll_with_the_present_token_gets_no_content(live, page):
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
    ids=["sa_status", "reachability", "revision"],
)
def test_a_poll_gets_the_section_after_a_change(live, page, change):
    record_traffic(live)
    first = token(status(page, live))

    change()

    assert status(page, live, seen=first).status_code == 200


def test_users_of_different_time_zones_get_their_own_times_from_the_cache(live, user, page):
    record_traffic(live)
    assert "UTC" in words(status(page, live), "status")

    Profile.objects.create(user=user, time_zone="America/Chicago")

    assert "CST" in words(status(page, live), "status")
    assert "UTC" not in words(status(page, live), "status")


class Connections:
    """Socket connections of this process, recorded while `is_recording` is set."""

    is_recording = False
    made: list[object] = []

    @classmethod
    def hook(cls, event: str, args: object) -> None:
        if cls.is_recording and event == "socket.connect":
            cls.made.append(args)


# Python cannot remove an audit hook.
sys.addaudithook(Connections.hook)


@pytest.fixture
def connections(monkeypatch) -> list[object]:
    monkeypatch.setattr(Connections, "is_recording", True)
    monkeypatch.setattr(Connections, "made", [])
    return Connections.made


def test_a_poll_makes_two_queries_and_no_connection(live, page, connections):
    record_traffic(live)
    seen = token(status(page, live))

    with CaptureQueriesContext(connection) as captured:
        assert status(page, live, seen=seen).status_code == 204

    queries = [query["sql"] for query in captured if "vpnportal_profile" not in query["sql"]]
    assert len([sql for sql in queries if '"vpnportal_' in sql]) == 2
    assert all(sql.startswith("SELECT") for sql in queries)
    assert connections == []


def test_a_rendered_section_is_cached(live, page):
    record_traffic(live)
    status(page, live)

    with CaptureQueriesContext(connection) as captured:
        assert status(page, live).status_code == 200

    assert len([query for query in captured if '"vpnportal_' in query["sql"]]) == 3


def test_the_section_needs_the_same_queries_for_one_pair_and_for_thirty(ready, user, page):
    def count_queries(tunnel: Tunnel) -> int:
        record_traffic(tunnel)
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            status(page, tunnel)
        return len(captured)

    for_one = count_queries(make_live(ready, user))
    add_remote_subnets(ready, 30)
    for number in range(1, 200):
        AddressTranslation.objects.create(
            tunnel=ready,
            internal_address=f"10.9.0.{number}",
            customer_address=f"172.16.0.{number}",
        )
    ready.subnets.add(
        Subnet.objects.create(
            account=ready.account, kind="static-nat", network=IPv4Network("10.9.0.0/24")
        )
    )

    assert count_queries(make_live(Tunnel.objects.get(pk=ready.pk), user)) == for_one


def test_without_javascript_the_page_has_the_section_and_its_url_redirects_there(live, page):
    record_traffic(live)

    section = page.get(reverse("status", args=[live.pk]))
    whole = page.get(reverse("tunnel", args=[live.pk]))

    assert section.headers["Location"] == f"/tunnels/{live.pk}/#status"
    assert rows(whole)[0][4] == "1.2 GB 900,000 packets"
