"""When a translation was last used: nftables sees it, the watch reads it, the page tells it."""

from __future__ import annotations

import json

import pytest

from tests.running_portal import RunningPortal, wait_for

TWO = """
rows = [("10.1.255.92", "192.168.10.15"), ("10.1.255.93", "192.168.10.16")]
services.set_translations(
    tunnel, [services.TranslationRow(IPv4Address(at), IPv4Address(customer)) for at, customer in rows], user
)
"""
STANDING = """
from vpnportal.web.tunnel.translations.row_status import row_statuses_of
from vpnportal.web.tunnel.translations.submitted_rows import saved_pairs
statuses = row_statuses_of(tunnel, services.state_of(tunnel).live)
say({at: statuses.of(at, pair)[1:] for at, pair in saved_pairs(tunnel).items()})
"""
SET = ("ip", "vpnportal", "used")
PAIR = ["10.1.255.92", "192.168.10.15"]


@pytest.fixture(scope="module")
def two(portal: RunningPortal) -> RunningPortal:
    """The example with a second translation, whose host does not exist."""
    portal.apply(TWO)
    wait_for(portal.ping, 10)
    return portal


def used(portal: RunningPortal) -> list[list[str]]:
    """The pairs that nftables remembers."""
    listed = json.loads(portal.on("concentrator", "nft", "-j", "list", "set", *SET).stdout)
    (found,) = (item["set"] for item in listed["nftables"] if "set" in item)
    return [one["elem"]["val"]["concat"] for one in found.get("elem", [])]


def forget(portal: RunningPortal) -> None:
    portal.on("concentrator", "nft", "flush", "set", *SET)
    assert used(portal) == []


def test_a_ping_makes_its_row_used_just_now_and_the_other_row_was_never_used(two):
    assert two.ping()

    def told() -> bool:
        return two.do(STANDING)["10.1.255.92"] == ["live", "used just now"]

    wait_for(told, 60)
    word, use = two.do(STANDING)["10.1.255.93"]
    assert word == "live"
    assert use.startswith("never used since ")


def test_what_the_customers_host_starts_counts_from_its_first_packet(two):
    forget(two)

    # Nobody has this address, so no answer comes back.
    assert not two.ping("10.2.0.77", host="customer")

    assert used(two) == [PAIR]


def test_what_passes_a_tunnel_without_a_translation_is_no_use_of_one(two):
    forget(two)

    two.on("server", "ip", "route", "replace", "192.168.10.0/24", "via", "10.2.0.1")
    assert two.ping("192.168.10.15")

    assert used(two) == []


def test_rules_that_are_written_anew_end_no_flow_and_forget_no_use(two):
    assert two.ping()
    flows = two.on("concentrator", "conntrack", "-L", "--any-nat").stdout
    two.on("concentrator", "nft", "flush", "chain", "ip", "vpnportal", "used")

    two.do("from vpnportal import tasks\ntasks.request_converge(tunnel.concentrator)")
    rules = ("nft", "list", "chain", "ip", "vpnportal", "used")
    wait_for(lambda: "update @used" in two.on("concentrator", *rules).stdout, 20)

    assert "10.1.255.92" in flows
    assert "10.1.255.92" in two.on("concentrator", "conntrack", "-L", "--any-nat").stdout
    assert used(two) == [PAIR]
    forget(two)
    assert two.ping()
    assert used(two) == [PAIR]
