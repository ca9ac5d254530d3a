"""The last use of a translation: the monitor writes it once, and the pages show its age."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.html import read
from vpnportal import services
from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter.usage_set import TranslationUse
from vpnportal.models import Concentrator, Revision, Subnet, TranslationUsage, Tunnel
from vpnportal.monitor import translation_usage
from vpnportal.monitor.translation_usage import UsageReader

AT, HOST = int(IPv4Address("10.1.255.92")), int(IPv4Address("192.168.10.15"))
OTHER_HOST = int(IPv4Address("192.168.10.16"))


@pytest.fixture
def live(ready, user):
    services.apply(ready, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    Concentrator.objects.update(seen_at=timezone.now())
    return ready


@pytest.fixture
def kernel(monkeypatch):
    """Return the usage set of nftables: uses, None without a set, or an error."""
    usage_set = {"uses": []}

    def read_uses(link):
        if isinstance(usage_set["uses"], Exception):
            raise usage_set["uses"]
        return usage_set["uses"]

    monkeypatch.setattr(translation_usage, "read_usage_set", read_uses)
    return usage_set


def usage_reader(tunnel) -> UsageReader:
    return UsageReader(Concentrator.objects.get(pk=tunnel.concentrator_id))


def row_statuses(page, tunnel) -> dict[str, list[str]]:
    nat = Subnet.objects.get(network="10.1.255.92/30").pk
    return page.get(reverse("standing", args=[tunnel.pk]), {"open": nat}).json()


def test_a_row_shows_the_age_of_its_last_use(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 3 * 3600 + 60)]

    usage_reader(live).read_if_due()

    assert row_statuses(page, live)["10.1.255.92"] == ["live", "Live", "last used 3\xa0hours ago"]


def test_an_unused_row_shows_since_when_use_is_recorded(live, page, kernel):
    usage_reader(live).read_if_due()
    since = timezone.now() - timedelta(days=12)
    Concentrator.objects.update(used_since=since)

    (_, label, use) = row_statuses(page, live)["10.1.255.92"]
    assert (label, use) == ("Live", f"never used since {since.day} {since:%b %Y}")


@pytest.mark.parametrize("uses", [None, GatewayError("no permission")], ids=["no rules", "error"])
def test_a_failed_reading_is_unknown_and_not_never(live, page, kernel, uses):
    kernel["uses"] = uses

    usage_reader(live).read_if_due()

    assert row_statuses(page, live)["10.1.255.92"][2] == "last use unknown"


def test_an_unreachable_concentrator_shows_neither_live_nor_use(live, page, kernel):
    usage_reader(live).read_if_due()
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(minutes=5))

    assert row_statuses(page, live)["10.1.255.92"] == ["unknown", "Unknown", "last use unknown"]


def test_a_disconnected_tunnel_has_no_live_row(live, page, kernel):
    Tunnel.objects.update(disconnected_at=timezone.now())

    assert row_statuses(page, live)["10.1.255.92"][:2] == ["waiting", "Disconnected"]


def test_a_use_with_the_former_host_does_not_count_for_the_new_host(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, OTHER_HOST, 60)]

    usage_reader(live).read_if_due()

    assert row_statuses(page, live)["10.1.255.92"][2].startswith("never used since")


def test_a_reading_without_changes_writes_nothing(live, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 90)]
    reader = usage_reader(live)
    reader.read_if_due()
    before = TranslationUsage.objects.get().pairs

    reader._next_read = 0.0
    with CaptureQueriesContext(connection) as captured:
        reader.read_if_due()

    assert any("used_read_at" in query["sql"] for query in captured), "the second read was due"
    assert [query["sql"] for query in captured if "translationusage" in query["sql"]] == []
    assert before == {"10.1.255.92": ["192.168.10.15", before["10.1.255.92"][1]]}


def test_a_recorded_use_survives_a_restart_of_the_gateway(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 7200)]
    usage_reader(live).read_if_due()

    kernel["uses"] = []
    usage_reader(live).read_if_due()

    assert row_statuses(page, live)["10.1.255.92"][2] == "last used 2\xa0hours ago"


def test_uses_of_unknown_addresses_are_ignored(live, kernel):
    kernel["uses"] = [TranslationUse(int(IPv4Address("10.9.9.9")), HOST, 1)]

    usage_reader(live).read_if_due()

    assert not TranslationUsage.objects.exists()


def test_a_use_before_the_order_of_the_tunnel_is_ignored(live, kernel):
    Tunnel.objects.update(ordered_at=timezone.now() - timedelta(minutes=10))
    kernel["uses"] = [TranslationUse(AT, HOST, 3600)]
    usage_reader(live).read_if_due()
    assert not TranslationUsage.objects.exists()

    kernel["uses"] = [TranslationUse(AT, HOST, 60)]
    usage_reader(live).read_if_due()

    assert TranslationUsage.objects.get().pairs.keys() == {"10.1.255.92"}


def test_a_reading_of_a_hundred_mappings_has_as_many_queries_as_of_one(live, kernel):
    def queries(count: int) -> int:
        kernel["uses"] = [TranslationUse(AT + n % 4, HOST + n, 60) for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            usage_reader(live).read_if_due()
        return len(captured)

    queries(1)
    assert queries(1) == queries(100)


def test_each_row_shows_live_or_the_effect_of_the_next_apply(live, user, page, kernel):
    services.set_translations(
        live,
        [
            services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.20")),
            services.TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.10.21")),
        ],
        user,
    )
    labels = {at: label for at, (_, label, _) in row_statuses(page, live).items()}
    assert labels == {
        "10.1.255.92": "Not applied yet, 192.168.10.15 is live",
        "10.1.255.93": "Not applied yet",
        "10.1.255.94": "",
        "10.1.255.95": "",
    }

    services.set_translations(
        live, [services.TranslationRow(IPv4Address("10.1.255.92"), None)], user
    )
    assert row_statuses(page, live)["10.1.255.92"][:2] == [
        "ending",
        "Live until the next Apply: 192.168.10.15",
    ]


def test_the_page_shows_the_same_as_the_polled_statuses(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 10)]
    usage_reader(live).read_if_due()
    nat = Subnet.objects.get(network="10.1.255.92/30").pk

    document = read(page.get(reverse("tunnel", args=[live.pk]), {"open": nat}))

    cells = [e for e in document.iter("span") if e.get("class", "").startswith("row-status")]
    assert [cell.text for cell in cells] == ["Live", None, None, None]
    smalls = [e.text for td in document.iter("td") for e in td.iter("small")]
    assert smalls == ["used just now", None, None, None]
