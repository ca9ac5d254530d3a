"""The hosted side: the interfaces of a gateway from which packets may enter a tunnel.

Everybody on the public side could otherwise send unencrypted packets with a server's address, which
the gateway would encrypt for the customer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network

from vpnportal.domain.addresses import number

# Interfaces from which no packet of a server arrives: loopback, and the device of userland ESP.
INTERNAL = frozenset(("lo", "ipsec0"))
SHARED = (
    "{} is an interface of the hosted and of the public side. Unencrypted packets that arrive there"
    " with a server's address are encrypted for the customer. Use separate interfaces."
)
UNKNOWN = (
    "No interface has a hosted peer address, so the public side is unknown, and packets of every"
    " interface may enter a tunnel. Name the interfaces of the hosted side."
)
NO_MATCH = "No interface is called {}, so no packet of a server enters a tunnel."


@dataclass(frozen=True, slots=True)
class Links:
    """The interfaces of a gateway by name, with its addresses on them as numbers.

    `routes` has the interface that leads to each hosted network, `hosted_side` the interfaces from
    which packets may enter a tunnel now.
    """

    addresses: Mapping[str, Collection[int]] = field(default_factory=dict)
    routes: Mapping[IPv4Network, str] = field(default_factory=dict)
    hosted_side: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostedSide:
    """The interfaces of the hosted side, and why they may admit forged packets or none, or ""."""

    interfaces: frozenset[str]
    problem: str = ""


def hosted_side(declared: Iterable[str], links: Links, hosted_peers: Iterable[str]) -> HostedSide:
    """Return the hosted side of a gateway.

    `declared` are the operator's names of interfaces, with wildcards as in `vlan*`. Without them,
    the hosted side is every interface but those with one of the `hosted_peers`, the addresses that
    tunnels have on the public side. An interface that leads to a hosted network then belongs to it
    in any case: otherwise a gateway with a single interface would forward nothing.
    """
    names, patterns = links.addresses.keys() - INTERNAL, tuple(declared)
    peers = set(map(number, hosted_peers))
    public = {name for name in names if not peers.isdisjoint(links.addresses[name])}
    if patterns:
        chosen = {name for name in names if any(fnmatchcase(name, item) for item in patterns)}
    else:
        chosen = (names - public) | (names & set(links.routes.values()))
    if shared := sorted(chosen & public):
        return HostedSide(frozenset(chosen), SHARED.format(", ".join(shared)))
    if not chosen and patterns:
        return HostedSide(frozenset(), NO_MATCH.format(" or ".join(patterns)))
    is_unknown = bool(peers) and not public and not patterns
    return HostedSide(frozenset(chosen), UNKNOWN if is_unknown else "")
