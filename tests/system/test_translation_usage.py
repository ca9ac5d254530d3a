"""The last use of a translation: nftables records it, the monitor reads it, the page shows it."""

from __future__ import annotations

import json

import pytest

from tests.running_portal import RunningPortal, wait_for

TWO_TRANSLATIONS = """
rows = [("10.1.255.92", "192.168.10.15"), ("10.1.255.93", "192.168.10.16")]
new = [services.TranslationRow(IPv4Address(at), IPv4Address(customer)) for at, customer in rows]
services.set_translations(tunnel, new, user)
"""
ROW_STATUSES = """
from vpnportal.web.tunnel.translations.row_status import row_statuses_of
from vpnportal.web.tunnel.translations.submitted_rows import saved_pairs
statuses = row_statuses_of(tunnel, services.state_of(tunnel).live)
say({at: statuses.of(at, pair)[1:] for at, pair in saved_pairs(tunnel).items()})
"""
USAGE_SET = ("ip", "vpnportal", "used")
PAIR, START = ["10.1.255.92", "192.168.10.15"], ["0.0.0.0", "0.0.0.0"]


@pytest.fixture(scope="module")
def two(portal: RunningPortal) -> RunningPortal:
    """Return the example with a second translation, whose host does not exist."""
    portal.apply(TWO_TRANSLATIONS)
    wait_for(portal.ping, 10)
    return portal


def used_pairs(portal: RunningPortal) -> list[list[str]]:
    """Return the pairs in the usage set of nftables, without the start of its record."""
    listed = json.loads(portal.on("concentrator", "nft", "-j", "list", "set", *USAGE_SET).stdout)
    (usage_set,) = (item["set"] for item in listed["nftables"] if "set" in item)
    pairs = [element["elem"]["val"]["concat"] for element in usage_set.get("elem", [])]
    return [pair for pair in pairs if pair != START]


def flush_usage(portal: RunningPortal) -> None:
    portal.on("concentrator", "nft", "flush", "set", *USAGE_SET)
    assert used_pairs(portal) == []


def test_a_ping_marks_its_row_as_used_just_now_and_the_other_row_as_never_used(two):
    assert two.ping()

    def is_shown() -> bool:
        return two.do(ROW_STATUSES)["10.1.255.92"] == ["Live", "used just now"]

    wait_for(is_shown, 60)
    state, use = two.do(ROW_STATUSES)["10.1.255.93"]
    assert state == "Live"
    assert use.startswith("never used since ")


def test_a_flow_from_the_customer_counts_as_use_from_its_first_packet(two):
    # No host has this address, so it does not answer. With a link address, the gateway sends no
    # error three seconds later, which is of the same flow and would be in the next test.
    link = ("lladdr", "02:00:00:00:00:77", "dev", "hosted", "nud", "permanent")
    two.on("concentrator", "ip", "neigh", "replace", "10.2.0.77", *link)
    flush_usage(two)

    assert not two.ping("10.2.0.77", host="customer")

    assert used_pairs(two) == [PAIR]


def test_traffic_without_a_translation_counts_as_no_use(two):
    flush_usage(two)

    two.on("server", "ip", "route", "replace", "192.168.10.0/24", "via", "10.2.0.1")
    assert two.ping("192.168.10.15")

    assert used_pairs(two) == []


def test_rewritten_rules_keep_flows_and_usage(two):
    assert two.ping()
    flows = two.on("concentrator", "conntrack", "-L", "--any-nat").stdout
    two.on("concentrator", "nft", "flush", "chain", "ip", "vpnportal", "used")

    two.do("from vpnportal import tasks\ntasks.request_converge(tunnel.concentrator)")
    rules = ("nft", "list", "chain", "ip", "vpnportal", "used")
    wait_for(lambda: "update @used" in two.on("concentrator", *rules).stdout, 20)

    assert "10.1.255.92" in flows
    assert "10.1.255.92" in two.on("concentrator", "conntrack", "-L", "--any-nat").stdout
    assert used_pairs(two) == [PAIR]
    flush_usage(two)
    assert two.ping()
    assert used_pairs(two) == [PAIR]
