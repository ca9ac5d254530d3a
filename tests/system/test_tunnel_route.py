"""The route into tunnels in a real kernel: for marked packets without any other route."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from tests.running_portal import RunningPortal, laboratory_prefix, wait_for
from vpnportal.gateway.tunnel_route import (
    add_tunnel_route,
    has_tunnel_route,
    public_interface,
    refusing_route,
)

PREFIX = laboratory_prefix("r")
# A gateway with a route to its peers' networks, and without a default route.
ROUTES = ("198.51.100.0/24 via 203.0.113.2", "10.9.0.0/16 via 203.0.113.3")
PEER, CUSTOMER = "198.51.100.7", IPv4Network("192.168.10.0/24")
DECRYPTED = 0x10000000


@pytest.fixture
def in_gateway() -> Iterator[None]:
    """Run in a gateway that has only these routes."""
    bridges, addresses = {"public": ()}, {"public": ("203.0.113.1/24",)}
    namespaces.delete(PREFIX)
    try:
        host = Host(CONCENTRATOR, "", addresses, ROUTES, forwards=True, bridges=bridges)
        namespaces.make(PREFIX, [host], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            yield
    finally:
        namespaces.delete(PREFIX)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def table_of(address: str, mark: int, *origin: str) -> str:
    """Return the table in which the kernel finds a route for a packet; "" without a route.

    The packet is the gateway's own, or has an `origin`.
    """
    words = run("ip", "route", "get", address, *origin, "mark", str(mark)).split()
    return words[words.index("table") + 1] if "table" in words else "main" if words else ""


def test_only_packets_of_a_tunnel_without_another_route_use_it(in_gateway):
    assert not has_tunnel_route()

    add_tunnel_route(public_interface(["127.0.0.1", "192.0.2.1", PEER]))

    assert has_tunnel_route()
    assert table_of("192.168.10.15", mark=7) == table_of("192.168.10.15", DECRYPTED | 7) == "4242"
    assert table_of("10.9.0.1", mark=7) == "main"
    assert table_of("192.168.10.15", mark=0) == ""


def test_the_gateways_own_packets_to_a_customer_use_it_before_any_other_route(in_gateway):
    add_tunnel_route("public")
    forwarded = ("from", "203.0.113.9", "iif", "public")

    assert table_of("10.9.0.1", DECRYPTED | 7) == "4242"
    assert table_of("10.9.0.1", DECRYPTED | 7, *forwarded) == "main"
    assert table_of("10.9.0.1", 0, *forwarded) == "main"


def test_a_missing_part_is_noticed_and_added_again(in_gateway):
    add_tunnel_route("public")

    for removal in (
        "rule del pref 32700",
        "rule del pref 32900",
        "link set public down",
        "route flush table 4242",
    ):
        run("ip", *removal.split())
        assert not has_tunnel_route()
        run("ip", "link", "set", "public", "up")
        add_tunnel_route("public")
        assert has_tunnel_route()

    assert run("ip", "rule").count("4242") == 2


def test_a_gateway_without_a_route_to_any_peer_has_no_public_interface(in_gateway):
    assert public_interface(["192.0.2.1", "127.0.0.1"]) == ""


@pytest.mark.parametrize("route_type", ["unreachable", "blackhole", "prohibit"])
def test_a_route_that_refuses_packets_into_a_tunnel_is_found(in_gateway, route_type: str):
    assert refusing_route(CUSTOMER) == ""
    add_tunnel_route("public")
    assert refusing_route(CUSTOMER) == ""

    run("ip", "route", "add", route_type, "192.168.0.0/16")

    assert refusing_route(CUSTOMER) == route_type


@pytest.mark.kernel_esp
def test_a_gateway_without_a_default_route_carries_packets_in_both_directions(live: RunningPortal):
    assert live.on("concentrator", "ip", "route", "del", "default").returncode == 0

    assert live.ping()
    assert live.ping("10.2.0.10", host="customer")
    assert live.ping("10.2.0.1", host="customer"), "the gateway's own replies have a route, too"

    # The kernel removes the route with its interface; the monitor requests the converge, which may
    # come before the next ping.
    for count, command in enumerate(("rule del pref 32900", "link set public down"), start=1):
        live.on("concentrator", "ip", *command.split())
        live.on("concentrator", "ip", "link", "set", "public", "up")
        wait_for(partial(has_added_routes, live, count), 30)
        wait_for(live.ping, 30)


def has_added_routes(portal: RunningPortal, count: int) -> bool:
    """Return True if repairs have added the route into tunnels at least this often."""
    text = "Added the route into tunnels over public"
    return portal.do(f"say(DriftRepair.objects.filter(text={text!r}).count())") >= count


@pytest.mark.kernel_esp
def test_an_apply_names_the_network_that_a_route_refuses(live: RunningPortal):
    live.on("concentrator", "ip", "route", "add", "blackhole", "192.168.0.0/16")
    try:
        assert not live.ping()
        revision = live.apply('services.edit(tunnel, "phase_two_keylife", 3_000, user)\n')
    finally:
        live.on("concentrator", "ip", "route", "del", "blackhole", "192.168.0.0/16")

    assert revision["outcome"] == "failed"
    assert "a route of the type blackhole for 192.168.10.0/24" in revision["reason"]
    wait_for(live.ping, 10)
