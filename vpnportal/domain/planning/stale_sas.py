"""Which running associations must end, which may go on for now, and what must be started.

An association made from older settings goes on while it leads nowhere that the newest revision
does not lead, until its successor carries the traffic: make before break. Everything else that is
not wanted ends at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from vpnportal.domain.gateway_config.desired import Connection, Desired
from vpnportal.domain.gateway_config.names import ike_fingerprint_of
from vpnportal.domain.planning.observed import CARRYING, COMING, ChildSa, IkeSa, Observed


@dataclass(frozen=True, slots=True)
class StaleSa:
    """A security association that must end: a CHILD_SA, or a whole IKE_SA.

    One that carries nothing yet only dials, perhaps with settings that nobody wants any more.
    """

    connection: str
    unique_id: str
    whole_ike: bool
    carries: bool = True


def by_connection(associations: Iterable[IkeSa]) -> dict[str, list[IkeSa]]:
    """The IKE_SAs of each connection, in the order they were listed."""
    found: dict[str, list[IkeSa]] = defaultdict(list)
    for sa in associations:
        found[sa.connection].append(sa)
    return found


def stale_sas(desired: Desired, observed: Observed) -> Iterator[StaleSa]:
    """What must end now."""
    for name, running in by_connection(observed.ike_sas).items():
        wanted = desired.connections.get(name)
        if wanted is None:
            yield from (stale_ike_sa(sa) for sa in running)
            continue
        loaded = observed.connections.get(name)
        fresh = loaded is not None and loaded.ike_fingerprint == wanted.as_loaded.ike_fingerprint
        carried = _carried(wanted, running)
        for sa in running:
            yield from _stale(sa, wanted, carried, fresh)


def to_initiate(
    desired: Desired, observed: Observed, ending: Iterable[StaleSa]
) -> Iterator[tuple[str, str]]:
    """Children that no association carries, unless charon is at it already or only answers."""
    ended = {(one.unique_id, one.whole_ike) for one in ending}
    running = by_connection(sa for sa in observed.ike_sas if (sa.unique_id, True) not in ended)
    for connection in desired.connections.values():
        alive = running.get(connection.name, [])
        if not connection.initiates or any(sa.negotiating for sa in alive):
            continue
        there = {
            child.name
            for sa in alive
            for child in sa.children
            if child.state in CARRYING | COMING and (child.unique_id, False) not in ended
        }
        yield from ((connection.name, child) for child in sorted(connection.children - there))


def _stale(
    sa: IkeSa, wanted: Connection, carried: frozenset[str], fresh: bool
) -> Iterator[StaleSa]:
    goes_on = _is_new(sa, wanted, fresh) or any(
        _keep_until_replaced(child, wanted, carried) for child in sa.children
    )
    if not wanted.initiates and sa.initiator and sa.state == "CONNECTING" and not carried:
        # It was begun when this end still began: nobody wants it to dial for ever.
        yield stale_ike_sa(sa)
    elif goes_on and sa.remote_host in ("", wanted.as_loaded.ends[1]):
        yield from _stale_children(sa, wanted, carried)
    else:
        yield stale_ike_sa(sa)


def _stale_children(sa: IkeSa, wanted: Connection, carried: frozenset[str]) -> Iterator[StaleSa]:
    for child in sa.children:
        if not _as_wanted(child, wanted) and not _keep_until_replaced(child, wanted, carried):
            yield StaleSa(sa.connection, child.unique_id, whole_ike=False)


def _is_new(sa: IkeSa, wanted: Connection, fresh: bool) -> bool:
    """An IKE_SA does not say what it was made from; its children and its algorithms do.

    IKEv1 hands children over to the next IKE_SA, so one of ours is enough. One without children is
    of the connection that is loaded.
    """
    if sa.suite.differs_from(wanted.suite):
        return False
    marks = {ike_fingerprint_of(child.name) for child in sa.children}
    return wanted.as_loaded.ike_fingerprint in marks if marks else fresh


def _keep_until_replaced(child: ChildSa, wanted: Connection, carried: frozenset[str]) -> bool:
    """Whether an older child carries nothing but what is wanted and not carried otherwise."""
    if child.state not in CARRYING or child.name in wanted.children:
        return False
    local, remote = _networks(child.local_ts), _networks(child.remote_ts)
    successors: set[str] = set()
    hosted: set[IPv4Network] = set()
    far: set[IPv4Network] = set()
    for shape in wanted.as_loaded.children:
        here, there = _networks(shape.local_ts), _networks(shape.remote_ts)
        hosted.update(here)
        far.update(there)
        if _overlap(local, here) and _overlap(remote, there):
            successors.add(shape.name)
    within = _within(local, hosted) and _within(remote, far)
    return within and bool(successors - carried)


def _carried(wanted: Connection, running: Iterable[IkeSa]) -> frozenset[str]:
    return frozenset(
        child.name
        for sa in running
        for child in sa.children
        if child.state in CARRYING and _as_wanted(child, wanted)
    )


def _as_wanted(child: ChildSa, wanted: Connection) -> bool:
    suite = wanted.suite_of(child.name)
    return suite is not None and not child.suite.differs_from(suite)


def _networks(texts: Iterable[str]) -> tuple[IPv4Network, ...]:
    """Selectors as networks. What is none, such as a range or a port, is inside of nothing."""
    try:
        return tuple(IPv4Network(text) for text in texts)
    except ValueError:
        return ()


def _overlap(left: Iterable[IPv4Network], right: Iterable[IPv4Network]) -> bool:
    others = tuple(right)
    return any(one.overlaps(other) for one in left for other in others)


def _within(inner: tuple[IPv4Network, ...], outer: Iterable[IPv4Network]) -> bool:
    others = tuple(outer)
    return bool(inner) and all(any(one.subnet_of(other) for other in others) for one in inner)


def stale_ike_sa(sa: IkeSa) -> StaleSa:
    """An IKE_SA with all of its children, to be ended."""
    carries = any(child.state in CARRYING for child in sa.children)
    return StaleSa(sa.connection, sa.unique_id, whole_ike=True, carries=carries)
