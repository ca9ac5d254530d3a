"""Requirements on the gateway's routes and interfaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import IPv4Network

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.planning.hosted_side import hosted_side
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.links import LinkReader
from vpnportal.gateway.local_addresses import LocalAddresses
from vpnportal.gateway.requirements.findings import AS_WORKER, Finding, at_risk, met, unmet
from vpnportal.gateway.tunnel_route import has_tunnel_route, public_interface, refusing_route

# Networks that a finding names.
MAX_NAMED = 3


def route_into_tunnels(connections: Collection[LoadedConnection]) -> Finding:
    """Check that packets into a tunnel find a route, and that a peer can be reached."""
    try:
        exists = has_tunnel_route()
    except GatewayError as error:
        return unmet(
            "tunnel_route",
            f"Routes cannot be read: {error}",
            AS_WORKER,
        )
    if exists:
        return met("tunnel_route", "Packets into tunnels have a route.")
    if not connections:
        return met("tunnel_route", "There is no tunnel yet that needs a route.")
    if not public_interface(connection.ends[1] for connection in connections):
        text = "No peer can be reached: the machine has no route to any of them."
        return unmet("tunnel_route", text, "Add a default route on the public side.")
    text = "Packets into tunnels have no route unless the machine has a default route."
    return at_risk("tunnel_route", text, "Start the worker: it adds the route.")


def separate_sides(connections: Collection[LoadedConnection], declared: Collection[str]) -> Finding:
    """Check that hosted and public side are separate interfaces, so that forged packets show.

    `declared` are the operator's names of the hosted interfaces; without them they are derived.
    """
    hosted = _networks(
        network
        for connection in connections
        for child in connection.children
        for network in child.local_ts
    )
    try:
        peers = {connection.ends[0] for connection in connections}
        addresses = LocalAddresses().read()
        links = LinkReader().read(addresses, peers, hosted, frozenset(), everything=True)
    except GatewayError as error:
        text = f"Interfaces cannot be read: {error}"
        return unmet("hosted_side", text, AS_WORKER)
    side = hosted_side(declared, links)
    if side.problem:
        remedy = "Give servers an interface without hosted peer addresses, and name it in"
        return unmet("hosted_side", side.problem, f"{remedy} VPNPORTAL_HOSTED_INTERFACES.")
    names, how = ", ".join(sorted(side.interfaces)), "declared" if declared else "derived"
    return met("hosted_side", f"Packets enter tunnels only from {names} ({how}).")


def refusing_routes(connections: Collection[LoadedConnection]) -> Finding:
    """Check that no route refuses packets to a remote network."""
    networks = _networks(
        network
        for connection in connections
        for child in connection.children
        for network in child.remote_ts
    )
    refused = []
    for network in sorted(networks):
        with suppress(GatewayError):
            if route_type := refusing_route(network):
                refused.append(f"{network} ({route_type})")
    if refused:
        text = f"Routes of the machine refuse packets to {', '.join(refused[:MAX_NAMED])}."
        return unmet("refusing_routes", text, "Remove these routes, or exclude the networks.")
    return met("refusing_routes", "No route refuses packets to a remote network.")


def _networks(selectors: Iterable[str]) -> set[IPv4Network]:
    """Return the networks of traffic selectors.

    Left out is what is no network: a connection of another program may have the selector `dynamic`,
    or one with a port.
    """
    networks = set()
    for selector in selectors:
        with suppress(ValueError):
            networks.add(IPv4Network(selector))
    return networks
