"""Paced initiation, within the peers' limits for half-open IKE_SAs (docs/decisions/012).

With its defaults charon drops messages from an address that has five half-open IKE_SAs. Beyond
thirty in all it requests cookies (strongswan.conf: block_threshold, cookie_threshold). Several
tunnels can have the same device as their peer, under different addresses.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Protocol, TypeAlias

from vpnportal.domain.planning.plan import Start

# Half-open IKE_SAs towards one network of this prefix length, which may be one device; and in all.
MAX_OPEN_PER_NETWORK, NETWORK_BITS = 4, 16
MAX_OPEN = 64
# A peer that has not answered by then is far away or down. The next one's turn comes either way.
OPEN_SECONDS = 0.25
# The worker has other tunnels to converge. The next converge initiates the rest.
BUDGET_SECONDS = 2.0

# The time and the peer's network of each half-open IKE_SA, by connection.
OpenSince: TypeAlias = "dict[str, tuple[float, IPv4Network]]"


class PacedInitiator(Protocol):
    """A client of charon that initiates CHILD_SAs and reports established IKE_SAs."""

    def initiate(self, connection: str, child: str) -> None: ...

    def wait_established(self) -> Iterable[str]: ...


def initiate_paced(initiator: PacedInitiator, starts: Iterable[Start]) -> Iterator[Start]:
    """Initiate CHILD_SAs for at most BUDGET_SECONDS, and yield each that was initiated."""
    waiting: dict[IPv4Network, deque[list[Start]]] = defaultdict(deque)
    for group in _by_connection(starts):
        waiting[_network_of(group[0].peer)].append(group)
    open_since: OpenSince = {}
    deadline = time.monotonic() + BUDGET_SECONDS
    if sum(len(queue) for queue in waiting.values()) > MAX_OPEN_PER_NETWORK:
        # Registers for events before the first initiation, so that no early answer is missed.
        list(initiator.wait_established())
    while any(waiting.values()) and time.monotonic() < deadline:
        for group, network in _next_groups(waiting, open_since):
            for start in group:
                initiator.initiate(start.connection, start.child)
                yield start
            open_since[group[0].connection] = (time.monotonic(), network)
        if any(waiting.values()):
            for name in initiator.wait_established():
                open_since.pop(name, None)
            _drop_expired(open_since)


def _by_connection(starts: Iterable[Start]) -> Iterable[list[Start]]:
    """Group the CHILD_SAs of each connection, because they share one IKE_SA."""
    groups: dict[str, list[Start]] = defaultdict(list)
    for start in starts:
        groups[start.connection].append(start)
    return groups.values()


def _network_of(peer: str) -> IPv4Network:
    return IPv4Network((peer, NETWORK_BITS), strict=False)


def _next_groups(
    waiting: dict[IPv4Network, deque[list[Start]]], open_since: OpenSince
) -> Iterator[tuple[list[Start], IPv4Network]]:
    total_free = MAX_OPEN - len(open_since)
    for network, queue in waiting.items():
        half_open = sum(1 for _, other in open_since.values() if other == network)
        free = MAX_OPEN_PER_NETWORK - half_open
        while queue and free > 0 and total_free > 0:
            free, total_free = free - 1, total_free - 1
            yield queue.popleft(), network


def _drop_expired(open_since: OpenSince) -> None:
    now = time.monotonic()
    for name, (since, _) in list(open_since.items()):
        if now - since >= OPEN_SECONDS:
            del open_since[name]
