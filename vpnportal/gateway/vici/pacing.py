"""Starting many children without running into the peers' limits on half-open IKE_SAs.

A charon with its defaults drops what comes from an address that has five IKE_SAs half open, and
asks for cookies beyond thirty in all (strongswan.conf: block_threshold, cookie_threshold). To a
device that has many of our peers' addresses, all of ours are one.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Protocol

from vpnportal.domain.planning.plan import Start

# At once towards addresses that may be one device's, and in all.
NEIGHBOURS, NEIGHBOURHOOD_BITS = 4, 16
IN_ALL = 64
# Who has not answered by then is far away or not there; either way the next one's turn has come.
PATIENCE_SECONDS = 0.25
# The lane has other work. What is left then is started by the next converge.
BUDGET_SECONDS = 2.0


class PacedInitiator(Protocol):
    """What can start a child, and tells soon which connections came up since it was asked last."""

    def initiate(self, connection: str, child: str) -> None: ...

    def wait_established(self) -> Iterable[str]: ...


def initiate_paced(starter: PacedInitiator, starts: Iterable[Start]) -> Iterator[Start]:
    """Starts them in time, and yields each that was; the rest had to wait too long for its turn."""
    waiting: dict[IPv4Network, deque[list[Start]]] = defaultdict(deque)
    for several in _by_connection(starts):
        waiting[_neighbourhood(several[0].peer)].append(several)
    open_since: dict[str, tuple[float, IPv4Network]] = {}
    deadline = time.monotonic() + BUDGET_SECONDS
    if sum(len(queue) for queue in waiting.values()) > NEIGHBOURS:
        # Begins to listen, so that those who answer at once are heard.
        list(starter.wait_established())
    while any(waiting.values()) and time.monotonic() < deadline:
        for several, where in _turns(waiting, open_since):
            for one in several:
                starter.initiate(one.connection, one.child)
                yield one
            open_since[several[0].connection] = (time.monotonic(), where)
        if any(waiting.values()):
            for name in starter.wait_established():
                open_since.pop(name, None)
            _give_up_waiting(open_since)


def _by_connection(starts: Iterable[Start]) -> Iterable[list[Start]]:
    """Children of one connection share its IKE_SA, and so its turn."""
    found: dict[str, list[Start]] = defaultdict(list)
    for one in starts:
        found[one.connection].append(one)
    return found.values()


def _neighbourhood(peer: str) -> IPv4Network:
    return IPv4Network((peer, NEIGHBOURHOOD_BITS), strict=False)


def _turns(
    waiting: dict[IPv4Network, deque[list[Start]]],
    open_since: dict[str, tuple[float, IPv4Network]],
) -> Iterator[tuple[list[Start], IPv4Network]]:
    room = IN_ALL - len(open_since)
    for where, queue in waiting.items():
        free = NEIGHBOURS - sum(1 for _, place in open_since.values() if place == where)
        while queue and free > 0 and room > 0:
            free, room = free - 1, room - 1
            yield queue.popleft(), where


def _give_up_waiting(open_since: dict[str, tuple[float, IPv4Network]]) -> None:
    now = time.monotonic()
    for name, (since, _) in list(open_since.items()):
        if now - since >= PATIENCE_SECONDS:
            del open_since[name]
