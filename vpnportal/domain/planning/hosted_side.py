"""The hosted side: the interfaces of a gateway from which packets may enter a tunnel.

Everybody on the public side could otherwise send unencrypted packets with a server's address, which
the gateway would encrypt for the customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Interfaces from which no packet of a server arrives: loopback, the device of userland ESP, and the
# kernel's own devices for packets that anybody may encapsulate, such as IP in IP at `tunl0`.
INTERNAL = frozenset(
    (
        "lo",
        "ipsec0",
        "sit0",
        "tunl0",
        "gre0",
        "gretap0",
        "erspan0",
        "ip_vti0",
        "ip6tnl0",
        "ip6_vti0",
    )
)
SHARED = (
    "{} is an interface of the hosted and of the public side. Unencrypted packets that arrive there"
    " with a server's address are encrypted for the customer. Use separate interfaces."
)
UNKNOWN = (
    "No interface has a hosted peer address, so the public side is unknown. Only interfaces with a"
    " route to a hosted network may send into tunnels. Name the interfaces of the hosted side."
)
NO_MATCH = "No interface is called {}, so no packet of a server enters a tunnel."
NO_ROUTE = (
    "{} is the only interface, and no route but the default route leads from it to a hosted"
    " network. So no packet of a server enters a tunnel. Add a route to each hosted network."
)


@dataclass(frozen=True, slots=True)
class Links:
    """The interfaces of a gateway, by name.

    Those in `public` have a hosted peer address. Those in `leading` have a route to a hosted
    network. From `hosted_side` packets may enter a tunnel now. With `is_partial`, `public` and
    `leading` are those of some tunnels only.
    """

    has_tunnels: bool = True
    names: frozenset[str] = frozenset()
    public: frozenset[str] = frozenset()
    leading: frozenset[str] = frozenset()
    hosted_side: frozenset[str] = frozenset()
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class HostedSide:
    """The interfaces of the hosted side, and why they may admit forged packets or none, or ""."""

    interfaces: frozenset[str]
    problem: str = ""


def hosted_side(declared: Iterable[str], links: Links) -> HostedSide:
    """Return the hosted side of a gateway.

    `declared` are the operator's names of interfaces, with wildcards as in `vlan*`. Without them,
    the hosted side is every interface but those of the public side. While no interface is public,
    it is those that lead to a hosted network. An interface that does so belongs to it in any case:
    otherwise a gateway with a single interface would forward nothing.
    """
    names, patterns = links.names - INTERNAL, tuple(declared)
    if patterns:
        chosen = frozenset(
            name for name in names if any(fnmatchcase(name, item) for item in patterns)
        )
        if not chosen:
            return HostedSide(chosen, NO_MATCH.format(" or ".join(patterns)))
    else:
        is_known = bool(links.public) or not links.has_tunnels
        # Other tunnels may have made more interfaces public than are known.
        private = (links.hosted_side if links.is_partial else names) - links.public
        chosen = (private if is_known else frozenset()) | (names & links.leading)
    if shared := sorted(chosen & links.public):
        return HostedSide(chosen, SHARED.format(", ".join(shared)))
    if links.has_tunnels and not links.public and not patterns:
        return HostedSide(chosen, UNKNOWN)
    if not chosen and links.public:
        return HostedSide(chosen, NO_ROUTE.format(" or ".join(sorted(links.public))))
    return HostedSide(chosen)
