"""Desired against observed: the plan, in the order its steps are taken.

Secrets and connections come first, because charon may refuse them and then nothing of the tunnel
has changed yet; what must go follows, then the translations, and initiation last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address

from vpnportal.domain.desired import Connection, Desired, Element, Secret
from vpnportal.domain.names import ike_fingerprint, owner
from vpnportal.domain.observed import CARRYING, COMING, IkeSa, Observed, Scope


@dataclass(frozen=True, slots=True)
class Stale:
    """A security association that must end: a CHILD_SA, or a whole IKE_SA."""

    connection: str
    unique_id: str
    whole_ike: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the fields. Empty (false) when all is as it should be."""

    anchor: tuple[IPv4Address, ...] = ()
    remember: tuple[Secret, ...] = ()
    load: tuple[Connection, ...] = ()
    unload: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    terminate: tuple[Stale, ...] = ()
    write_rules: bool = False
    remove: tuple[Element, ...] = ()
    add: tuple[Element, ...] = ()
    unanchor: tuple[IPv4Address, ...] = ()
    initiate: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, step.name) for step in fields(self))

    def without_initiation(self) -> Plan:
        """The same but for starting children: whether those come up is the peers' affair."""
        return replace(self, initiate=())

    def sparing(self, connections: frozenset[str], desired: Desired) -> Plan:
        """The same, but nothing is taken from these connections, of which nothing is known.

        Whose an element is cannot be told, so only those that get another value are removed.
        """
        if not connections:
            return self
        taken = {(element.map, element.key) for element in desired.elements}
        return replace(
            self,
            unload=tuple(name for name in self.unload if name not in connections),
            forget=tuple(name for name in self.forget if owner(name) not in connections),
            terminate=tuple(one for one in self.terminate if one.connection not in connections),
            remove=tuple(one for one in self.remove if (one.map, one.key) in taken),
            unanchor=(),
        )


def diff(desired: Desired, observed: Observed, scope: Scope | None = None) -> Plan:
    """What to do so that the observed becomes the desired; within a scope, only there."""
    load = tuple(
        connection
        for name, connection in desired.connections.items()
        if observed.connections.get(name) != connection.children
    )
    unload = tuple(sorted(observed.connections.keys() - desired.connections.keys()))
    stale = tuple(_stale(desired, observed))
    remember, forget = _secrets(desired, observed, scope, load, unload)
    return Plan(
        anchor=tuple(_missing_anchors(desired, observed)),
        remember=remember,
        load=load,
        unload=unload,
        forget=forget,
        terminate=stale,
        write_rules=not observed.rules_stand,
        remove=tuple(sorted(observed.elements - desired.elements)),
        add=tuple(sorted(desired.elements - observed.elements)),
        unanchor=() if scope else tuple(_needless_anchors(desired, observed)),
        initiate=tuple(_to_initiate(desired, observed, stale)),
    )


def _secrets(
    desired: Desired,
    observed: Observed,
    scope: Scope | None,
    load: tuple[Connection, ...],
    unload: tuple[str, ...],
) -> tuple[tuple[Secret, ...], tuple[str, ...]]:
    """Unseen secrets go with their connection: one that is as it should be has its secret."""
    if observed.secrets is not None:
        there = observed.secrets
    elif load or unload:
        there = scope.secrets - desired.secrets.keys() if scope else frozenset()
    else:
        there = frozenset(desired.secrets)
    missing = tuple(secret for name, secret in desired.secrets.items() if name not in there)
    return missing, tuple(sorted(there - desired.secrets.keys()))


def _stale(desired: Desired, observed: Observed) -> Iterator[Stale]:
    for sa in observed.associations:
        wanted = desired.connections.get(sa.connection)
        if wanted is None or _ike_is_old(sa, wanted, observed):
            yield Stale(sa.connection, sa.unique_id, whole_ike=True)
            continue
        for child in sa.children:
            if child.name not in wanted.children:
                yield Stale(sa.connection, child.unique_id, whole_ike=False)


def _ike_is_old(sa: IkeSa, wanted: Connection, observed: Observed) -> bool:
    """An IKE_SA does not say what it was made from; what is loaded and its children do."""
    names = {child.name for child in sa.children} | observed.connections.get(sa.connection, set())
    expected = {ike_fingerprint(name) for name in wanted.children}
    return not {ike_fingerprint(name) for name in names} <= expected


def _to_initiate(
    desired: Desired, observed: Observed, stale: tuple[Stale, ...]
) -> Iterator[tuple[str, str]]:
    """Children that no association carries, unless charon is at it already."""
    ended = {one.unique_id for one in stale if one.whole_ike}
    alive = [sa for sa in observed.associations if sa.unique_id not in ended]
    busy = {sa.connection for sa in alive if sa.negotiating}
    carried = {
        child.name for sa in alive for child in sa.children if child.state in CARRYING | COMING
    }
    for connection in desired.connections.values():
        if connection.name in busy:
            continue
        for child in sorted(connection.children - carried):
            yield connection.name, child


def _missing_anchors(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    """Userland ESP installs no route for a network in which the gateway has no address."""
    if not observed.userland_esp:
        return
    for network in sorted(desired.hosted):
        # In a network of 31 or 32 bits every address is a host's (RFC 3021): none is free for us.
        spare = network.prefixlen < 31
        if spare and not any(address in network for address in observed.addresses):
            yield network.network_address


def _needless_anchors(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    needed = {network.network_address for network in desired.hosted}
    return iter(sorted(observed.anchors - needed))
