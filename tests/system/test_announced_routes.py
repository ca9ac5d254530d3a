"""Announced routes in a real kernel: the portal's own, exactly, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from tests.running_portal import laboratory_prefix
from vpnportal.gateway.announced_routes import AnnouncedRoutes, add_routes, remove_routes

PREFIX = laboratory_prefix("a")
STATIC_NAT, HOSTED_PEER = "10.1.255.92/30", "203.0.113.17/32"
FOREIGN = ("10.7.0.0/16 proto static", "10.8.0.0/16 proto 171", f"{STATIC_NAT} metric 7")
# More reports than the buffer of a socket holds.
MANY = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(20_000)]


@pytest.fixture
def routes() -> Iterator[AnnouncedRoutes]:
    """Yield the announced routes of a gateway that has unreachable routes of other programs."""
    namespaces.delete(PREFIX)
    try:
        namespaces.make(PREFIX, [Host(CONCENTRATOR, "", {})], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            for route in FOREIGN:
                run("ip", "route", "add", "unreachable", *route.split())
            yield AnnouncedRoutes()
    finally:
        namespaces.delete(PREFIX)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_added_routes_are_read_and_removed_and_foreign_routes_stay(routes: AnnouncedRoutes):
    assert routes.read() == set()

    add_routes([STATIC_NAT, HOSTED_PEER])
    add_routes([HOSTED_PEER])
    assert routes.read() == {STATIC_NAT, HOSTED_PEER}
    assert routes.read(frozenset([STATIC_NAT, "10.7.0.0/16"])) == {STATIC_NAT}

    remove_routes([STATIC_NAT, "10.7.0.0/16", "10.8.0.0/16"])
    assert routes.read() == AnnouncedRoutes().read() == {HOSTED_PEER}
    assert run("ip", "route", "show", "type", "unreachable").count("10.") == len(FOREIGN)


def test_changes_by_another_program_are_seen_at_the_next_reading(routes: AnnouncedRoutes):
    add_routes([STATIC_NAT, HOSTED_PEER])
    assert len(routes.read()) == 2

    run("ip", "route", "del", "unreachable", STATIC_NAT, "metric", "171")
    run("ip", "route", "add", "unreachable", "10.9.0.0/16", "metric", "171", "proto", "171")

    assert routes.read() == {HOSTED_PEER, "10.9.0.0/16"}


def test_more_changes_than_the_kernel_reports_are_read_again(routes: AnnouncedRoutes):
    routes.read()

    add_routes(MANY)
    assert routes.read() == set(MANY)

    remove_routes(MANY[1:])
    assert routes.read() == set(MANY[:1])
