"""Desired against observed: the plan, in the order its steps are taken.

What only dials with old settings is hung up first: once the new connection is loaded, nothing would
tell it from one that dials with the new. Secrets and connections follow, because charon may refuse
them and then nothing of the tunnel has changed yet; then what must go, then the translations, and
initiation last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import Connection, Desired, Secret
from vpnportal.domain.gateway_config.names import owner
from vpnportal.domain.gateway_config.nat_elements import Elements
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.stale_sas import Stale, stale, to_initiate


class Start(NamedTuple):
    """A child to be started, and the address of its peer."""

    connection: str
    child: str
    peer: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the fields. Empty (false) when all is as it should be."""

    anchor: tuple[IPv4Address, ...] = ()
    hang_up: tuple[Stale, ...] = ()
    remember: tuple[Secret, ...] = ()
    load: tuple[Connection, ...] = ()
    unload: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    terminate: tuple[Stale, ...] = ()
    write_rules: bool = False
    remove: Elements = field(default_factory=Elements)
    add: Elements = field(default_factory=Elements)
    unanchor: tuple[IPv4Address, ...] = ()
    initiate: tuple[Start, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, step.name) for step in fields(self))

    @property
    def ends_associations(self) -> bool:
        """Whether what runs is not the same afterwards."""
        return bool(self.hang_up or self.unload or self.terminate)

    def without_initiation(self) -> Plan:
        """The same but for starting children: whether those come up is the peers' affair."""
        return replace(self, initiate=())

    def sparing(self, connections: frozenset[str], desired: Desired) -> Plan:
        """The same, but nothing is taken from these connections, of which nothing is known.

        Whose an element is cannot be told, so only those that get another value are removed.
        """
        if not connections:
            return self
        return replace(
            self,
            unload=tuple(name for name in self.unload if name not in connections),
            forget=tuple(name for name in self.forget if owner(name) not in connections),
            hang_up=tuple(one for one in self.hang_up if one.connection not in connections),
            terminate=tuple(one for one in self.terminate if one.connection not in connections),
            remove=self.remove.under(desired.elements),
            unanchor=(),
        )


def diff(
    desired: Desired, observed: Observed, scope: Scope | None = None, unsure: bool = False
) -> Plan:
    """What to do so that the observed becomes the desired; within a scope, only there.

    `unsure` says that an earlier apply may have broken off before it forgot its old secrets.
    """
    ending = tuple(stale(desired, observed))
    dialling = tuple(
        one for one in ending if not one.carries and one.connection in desired.connections
    )
    edited = frozenset(_edited(desired, observed))
    load = tuple(
        connection
        for name, connection in desired.connections.items()
        if observed.connections.get(name) != connection.shape or name in edited
    )
    unload = tuple(sorted(observed.connections.keys() - desired.connections.keys()))
    remember, forget = _secrets(desired, observed, scope, load, unload)
    if unsure and scope:
        forget = tuple(sorted({*forget, *(scope.secrets - desired.secrets.keys())}))
    return Plan(
        anchor=tuple(_missing_anchors(desired, observed)),
        hang_up=dialling,
        remember=remember,
        load=load,
        unload=unload,
        forget=forget,
        terminate=tuple(one for one in ending if one not in dialling),
        write_rules=not observed.rules_stand,
        remove=observed.elements - desired.elements,
        add=desired.elements - observed.elements,
        unanchor=() if scope else tuple(_needless_anchors(desired, observed)),
        initiate=tuple(
            Start(name, child, desired.connections[name].shape.ends[1])
            for name, child in to_initiate(desired, observed, ending)
        ),
    )


def ahead(
    desired: Desired, observed: Observed, scope: Scope | None = None, unsure: bool = False
) -> Plan:
    """What can be done before it is known what runs. Empty when nothing can, or nothing is to do.

    Only while IKE stays as it is loaded: then loading hides nothing that dials with old settings.
    """
    loaded = {name: shape.mark for name, shape in observed.connections.items()}
    wanted = {name: one.shape.mark for name, one in desired.connections.items()}
    if scope is None or loaded != wanted:
        return Plan()
    return diff(desired, replace(observed, associations=()), scope, unsure).without_initiation()


def _edited(desired: Desired, observed: Observed) -> Iterator[str]:
    """Connections that run with algorithms which their names do not stand for.

    charon does not tell the proposals it holds, so this is how another hand's edit shows.
    """
    for sa in observed.associations:
        wanted = desired.connections.get(sa.connection)
        if wanted is None:
            continue
        for child in sa.children:
            suite = wanted.suite_of(child.name)
            if suite is not None and child.suite.differs_from(suite):
                yield sa.connection


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


def _missing_anchors(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    """Userland ESP installs no route for a network in which the gateway has no address."""
    if not observed.userland_esp:
        return
    for network in sorted(desired.hosted):
        # In a network of 31 or 32 bits every address is a host's (RFC 3021): none is free for us.
        spare = network.prefixlen < 31
        there = observed.addresses.first_in(network) or observed.anchors.first_in(network)
        if spare and there is None:
            yield network.network_address


def _needless_anchors(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    needed = {network.network_address for network in desired.hosted}
    return (address for address in observed.anchors if address not in needed)


def objection(claims: Iterable[str], gateway: AddressSet) -> str:
    """Why a gateway with these addresses must not carry a tunnel with these networks, or "".

    A translation to one of them would lead a server's packets to the gateway, and a remote network
    with one of them would lead the gateway's own packets away.
    """
    for network in claims:
        if taken := gateway.first_in(IPv4Network(network)):
            return f"{network} has {taken} in it, which is an address of the gateway itself"
    return ""
