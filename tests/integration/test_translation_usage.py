"""When a translation was last used: what the watch reads is written once, and told with its age."""

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
    """What nftables tells: uses, nothing at all, or an error."""
    told = {"uses": []}

    def say(link):
        if isinstance(told["uses"], Exception):
            raise told["uses"]
        return told["uses"]

    monkeypatch.setattr(translation_usage, "read_usage_set", say)
    return told


def reading(tunnel) -> UsageReader:
    return UsageReader(Concentrator.objects.get(pk=tunnel.concentrator_id))


def stands(page, tunnel) -> dict[str, list[str]]:
    nat = Subnet.objects.get(network="10.1.255.92/30").pk
    return page.get(reverse("standing", args=[tunnel.pk]), {"open": nat}).json()


def test_a_row_tells_how_long_ago_it_was_used(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 3 * 3600 + 60)]

    reading(live).read_if_due()

    assert stands(page, live)["10.1.255.92"] == ["live", "live", "last used 3\xa0hours ago"]


def test_a_row_that_never_was_used_tells_since_when_that_is_known(live, page, kernel):
    reading(live).read_if_due()
    since = timezone.now() - timedelta(days=12)
    Concentrator.objects.update(used_since=since)

    (_, word, use) = stands(page, live)["10.1.255.92"]
    assert (word, use) == ("live", f"never used since {since.day} {since:%b %Y}")


@pytest.mark.parametrize("uses", [None, GatewayError("no permission")], ids=["no rules", "error"])
def test_what_was_not_read_is_unknown_and_not_never(live, page, kernel, uses):
    kernel["uses"] = uses

    reading(live).read_if_due()

    assert stands(page, live)["10.1.255.92"][2] == "last use unknown"


def test_out_of_sight_neither_live_nor_its_use_is_told(live, page, kernel):
    reading(live).read_if_due()
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(minutes=5))

    assert stands(page, live)["10.1.255.92"] == ["unknown", "unknown", "last use unknown"]


def test_a_tunnel_that_somebody_disconnected_has_no_live_row(live, page, kernel):
    Tunnel.objects.update(disconnected_at=timezone.now())

    assert stands(page, live)["10.1.255.92"][:2] == ["waiting", "disconnected"]


def test_an_address_that_got_another_host_was_not_used_by_the_former_one(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, OTHER_HOST, 60)]

    reading(live).read_if_due()

    assert stands(page, live)["10.1.255.92"][2].startswith("never used since")


def test_a_reading_that_says_nothing_new_writes_no_tunnel(live, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 90)]
    readings = reading(live)
    readings.read_if_due()
    before = TranslationUsage.objects.get().pairs

    readings._next = 0.0
    with CaptureQueriesContext(connection) as captured:
        readings.read_if_due()

    assert [one["sql"] for one in captured if "lastused" in one["sql"]] == []
    assert before == {"10.1.255.92": ["192.168.10.15", before["10.1.255.92"][1]]}


def test_what_was_used_before_a_restart_of_the_gateway_is_not_forgotten(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 7200)]
    reading(live).read_if_due()

    kernel["uses"] = []
    reading(live).read_if_due()

    assert stands(page, live)["10.1.255.92"][2] == "last used 2\xa0hours ago"


def test_pairs_of_nobody_are_left_out(live, kernel):
    kernel["uses"] = [TranslationUse(int(IPv4Address("10.9.9.9")), HOST, 1)]

    reading(live).read_if_due()

    assert not TranslationUsage.objects.exists()


def test_what_a_former_tunnel_used_of_the_same_addresses_is_not_told_of_the_new_one(live, kernel):
    Tunnel.objects.update(ordered_at=timezone.now() - timedelta(minutes=10))
    kernel["uses"] = [TranslationUse(AT, HOST, 3600)]
    reading(live).read_if_due()
    assert not TranslationUsage.objects.exists()

    kernel["uses"] = [TranslationUse(AT, HOST, 60)]
    reading(live).read_if_due()

    assert TranslationUsage.objects.get().pairs.keys() == {"10.1.255.92"}


def test_readings_cost_the_same_for_one_mapping_and_for_a_hundred(live, kernel):
    def queries(count: int) -> int:
        kernel["uses"] = [TranslationUse(AT + n % 4, HOST + n, 60) for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            reading(live).read_if_due()
        return len(captured)

    queries(1)
    assert queries(1) == queries(100)


def test_each_row_says_whether_it_is_live_or_what_the_next_apply_makes_of_it(
    live, user, page, kernel
):
    services.set_translations(
        live,
        [
            services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.20")),
            services.TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.10.21")),
        ],
        user,
    )
    words = {at: word for at, (_, word, _) in stands(page, live).items()}
    assert words == {
        "10.1.255.92": "not applied yet, 192.168.10.15 is live",
        "10.1.255.93": "not applied yet",
        "10.1.255.94": "",
        "10.1.255.95": "",
    }

    services.set_translations(
        live, [services.TranslationRow(IPv4Address("10.1.255.92"), None)], user
    )
    assert stands(page, live)["10.1.255.92"][:2] == ["ending", "192.168.10.15 until the next Apply"]


def test_the_page_says_the_same_as_the_rows_are_told(live, page, kernel):
    kernel["uses"] = [TranslationUse(AT, HOST, 10)]
    reading(live).read_if_due()
    nat = Subnet.objects.get(network="10.1.255.92/30").pk

    shown = read(page.get(reverse("tunnel", args=[live.pk]), {"open": nat}))

    cells = [e for e in shown.iter("span") if e.get("class", "").startswith("stands")]
    assert [cell.text for cell in cells] == ["live", None, None, None]
    smalls = [e.text for td in shown.iter("td") for e in td.iter("small")]
    assert smalls == ["used just now", None, None, None]
