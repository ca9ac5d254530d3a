"""Stale SAs, which must end, and children to initiate.

An SA with older settings is kept until its successor carries the traffic (make-before-break), if
its traffic is within the newest revision. Every other SA that does not match the newest revision
ends at once.
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
    """A CHILD_SA, or an IKE_SA if `whole_ike` is True, that must end.

    With `carries` False, the IKE_SA carries no traffic and only initiates, with settings that may
    be out of date.
    """

    connection: str
    unique_id: str
    whole_ike: bool
    carries: bool = True


def by_connection(ike_sas: Iterable[IkeSa]) -> dict[str, list[IkeSa]]:
    """Return the IKE_SAs of each connection, in their order; an empty list for other names."""
    grouped: dict[str, list[IkeSa]] = defaultdict(list)
    for sa in ike_sas:
        grouped[sa.connection].append(sa)
    return grouped


def stale_sas(desired: Desired, observed: Observed) -> Iterator[StaleSa]:
    """Yield the SAs that must end now."""
    for name, running in by_connection(observed.ike_sas).items():
        connection = desired.connections.get(name)
        if connection is None:
            yield from (stale_ike_sa(sa) for sa in running)
            continue
        loaded = observed.connections.get(name)
        is_loaded = (
            loaded is not None and loaded.ike_fingerprint == connection.as_loaded.ike_fingerprint
        )
        carrying = _carrying_children(connection, running)
        stale = [ending for sa in running for ending in _stale(sa, connection, carrying, is_loaded)]
        kept = _needed_by_peer(connection, running, stale)
        yield from (ending for ending in stale if ending not in kept)


def to_initiate(
    desired: Desired, observed: Observed, stale: Iterable[StaleSa]
) -> Iterator[tuple[str, str]]:
    """Yield the names of the connection and the child for each child without a CHILD_SA.

    Skips connections that charon is negotiating, and connections that only respond.
    """
    ending = {(sa.unique_id, sa.whole_ike) for sa in stale}
    remaining = by_connection(sa for sa in observed.ike_sas if (sa.unique_id, True) not in ending)
    for connection in desired.connections.values():
        ike_sas = remaining.get(connection.name, [])
        if not connection.initiates or any(sa.is_negotiating for sa in ike_sas):
            continue
        present = {
            child.name
            for sa in ike_sas
            for child in sa.children
            if child.state in CARRYING | COMING and (child.unique_id, False) not in ending
        }
        yield from ((connection.name, child) for child in sorted(connection.children - present))


def stale_ike_sa(sa: IkeSa) -> StaleSa:
    """Return the `StaleSa` that ends an IKE_SA with all its CHILD_SAs."""
    carries = any(child.state in CARRYING for child in sa.children)
    return StaleSa(sa.connection, sa.unique_id, whole_ike=True, carries=carries)


def _stale(
    sa: IkeSa, connection: Connection, carrying: frozenset[str], is_loaded: bool
) -> Iterator[StaleSa]:
    is_kept = _has_wanted_ike(sa, connection, is_loaded) or any(
        _keep_until_replaced(child, connection, carrying) for child in sa.children
    )
    if not connection.initiates and sa.initiator and sa.state == "CONNECTING" and not carrying:
        # Initiated before the tunnel was changed to respond only; charon would try for ever.
        yield stale_ike_sa(sa)
    elif is_kept and sa.remote_host in ("", connection.as_loaded.ends[1]):
        for child in sa.children:
            if not _is_wanted(child, connection) and not _keep_until_replaced(
                child, connection, carrying
            ):
                yield StaleSa(sa.connection, child.unique_id, whole_ike=False)
    else:
        yield stale_ike_sa(sa)


def _needed_by_peer(
    connection: Connection, running: Iterable[IkeSa], stale: Iterable[StaleSa]
) -> frozenset[StaleSa]:
    """Return those stale IKE_SAs to which an IKEv1 peer may have moved running CHILD_SAs.

    charon as a peer takes each new IKE_SA as the next one of the same tunnel and moves all
    CHILD_SAs to it. If this IKE_SA ended, the peer would end them, too, and report nothing.
    """
    ended = {(ending.unique_id, ending.whole_ike) for ending in stale}
    going_on = [
        int(sa.unique_id)
        for sa in running
        for child in sa.children
        if child.state in CARRYING and not {(sa.unique_id, True), (child.unique_id, False)} & ended
    ]
    return frozenset(
        stale_ike_sa(sa)
        for sa in running
        if (sa.version, sa.state, sa.children) == (1, "ESTABLISHED", ())
        and sa.remote_host in ("", connection.as_loaded.ends[1])
        and any(unique_id < int(sa.unique_id) for unique_id in going_on)
    )


def _has_wanted_ike(sa: IkeSa, connection: Connection, is_loaded: bool) -> bool:
    """Return True if the IKE_SA has the connection's IKE settings.

    The names of the children and the algorithms show the settings. IKEv1 moves children to the
    next IKE_SA, so one child with the fingerprint is enough. For an IKE_SA without children, the
    result is `is_loaded`: True if the loaded connection has the wanted IKE settings.
    """
    if sa.suite.differs_from(connection.suite):
        return False
    fingerprints = {ike_fingerprint_of(child.name) for child in sa.children}
    if not fingerprints:
        return is_loaded
    return connection.as_loaded.ike_fingerprint in fingerprints


def _keep_until_replaced(child: ChildSa, connection: Connection, carrying: frozenset[str]) -> bool:
    """Return True if an older child carries only wanted traffic and a successor is not up yet."""
    if child.state not in CARRYING or child.name in connection.children:
        return False
    local, remote = _networks(child.local_ts), _networks(child.remote_ts)
    successors: set[str] = set()
    wanted_local: set[IPv4Network] = set()
    wanted_remote: set[IPv4Network] = set()
    for wanted_child in connection.as_loaded.children:
        child_local = _networks(wanted_child.local_ts)
        child_remote = _networks(wanted_child.remote_ts)
        wanted_local.update(child_local)
        wanted_remote.update(child_remote)
        if _overlap(local, child_local) and _overlap(remote, child_remote):
            successors.add(wanted_child.name)
    is_within = _within(local, wanted_local) and _within(remote, wanted_remote)
    return is_within and bool(successors - carrying)


def _carrying_children(connection: Connection, running: Iterable[IkeSa]) -> frozenset[str]:
    return frozenset(
        child.name
        for sa in running
        for child in sa.children
        if child.state in CARRYING and _is_wanted(child, connection)
    )


def _is_wanted(child: ChildSa, connection: Connection) -> bool:
    suite = connection.suite_of(child.name)
    return suite is not None and not child.suite.differs_from(suite)


def _networks(selectors: Iterable[str]) -> tuple[IPv4Network, ...]:
    """Return the selectors as networks; empty if any selector is a range or has a port."""
    try:
        return tuple(IPv4Network(text) for text in selectors)
    except ValueError:
        return ()


def _overlap(left: Iterable[IPv4Network], right: Iterable[IPv4Network]) -> bool:
    right_networks = tuple(right)
    return any(network.overlaps(other) for network in left for other in right_networks)


def _within(inner: tuple[IPv4Network, ...], outer: Iterable[IPv4Network]) -> bool:
    outer_networks = tuple(outer)
    return bool(inner) and all(
        any(network.subnet_of(other) for other in outer_networks) for network in inner
    )
