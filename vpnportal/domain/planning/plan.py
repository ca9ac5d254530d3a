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
from vpnportal.domain.gateway_config.names import connection_of_secret
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.stale_sas import StaleSa, stale_sas, to_initiate


class Start(NamedTuple):
    """A child to be started, and the address of its peer."""

    connection: str
    child: str
    peer: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the fields. Empty (false) when all is as it should be."""

    add_addresses: tuple[IPv4Address, ...] = ()
    terminate_dialing: tuple[StaleSa, ...] = ()
    load_secrets: tuple[Secret, ...] = ()
    load_connections: tuple[Connection, ...] = ()
    unload_connections: tuple[str, ...] = ()
    unload_secrets: tuple[str, ...] = ()
    terminate: tuple[StaleSa, ...] = ()
    write_rules: bool = False
    remove_elements: NatElements = field(default_factory=NatElements)
    add_elements: NatElements = field(default_factory=NatElements)
    remove_addresses: tuple[IPv4Address, ...] = ()
    initiate: tuple[Start, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, step.name) for step in fields(self))

    @property
    def terminates_sas(self) -> bool:
        """Whether what runs is not the same afterwards."""
        return bool(self.terminate_dialing or self.unload_connections or self.terminate)

    def without_initiation(self) -> Plan:
        """The same but for starting children: whether those come up is the peers' affair."""
        return replace(self, initiate=())

    def excluding(self, connections: frozenset[str], desired: Desired) -> Plan:
        """The same, but nothing is taken from these connections, of which nothing is known.

        Whose an element is cannot be told, so only those that get another value are removed.
        """
        if not connections:
            return self
        return replace(
            self,
            unload_connections=tuple(
                name for name in self.unload_connections if name not in connections
            ),
            unload_secrets=tuple(
                name
                for name in self.unload_secrets
                if connection_of_secret(name) not in connections
            ),
            terminate_dialing=tuple(
                one for one in self.terminate_dialing if one.connection not in connections
            ),
            terminate=tuple(one for one in self.terminate if one.connection not in connections),
            remove_elements=self.remove_elements.under(desired.elements),
            remove_addresses=(),
        )


def make_plan(
    desired: Desired, observed: Observed, scope: Scope | None = None, unsure: bool = False
) -> Plan:
    """What to do so that the observed becomes the desired; within a scope, only there.

    `unsure` says that an earlier apply may have broken off before it forgot its old secrets.
    """
    ending = tuple(stale_sas(desired, observed))
    dialling = tuple(
        one for one in ending if not one.carries and one.connection in desired.connections
    )
    edited = frozenset(_edited(desired, observed))
    load = tuple(
        connection
        for name, connection in desired.connections.items()
        if observed.connections.get(name) != connection.as_loaded or name in edited
    )
    unload = tuple(sorted(observed.connections.keys() - desired.connections.keys()))
    remember, forget = _secrets(desired, observed, scope, load, unload)
    if unsure and scope:
        forget = tuple(sorted({*forget, *(scope.secrets - desired.secrets.keys())}))
    return Plan(
        add_addresses=tuple(_missing_anchors(desired, observed)),
        terminate_dialing=dialling,
        load_secrets=remember,
        load_connections=load,
        unload_connections=unload,
        unload_secrets=forget,
        terminate=tuple(one for one in ending if one not in dialling),
        write_rules=not observed.rules_current,
        remove_elements=observed.elements - desired.elements,
        add_elements=desired.elements - observed.elements,
        remove_addresses=() if scope else tuple(_needless_anchors(desired, observed)),
        initiate=tuple(
            Start(name, child, desired.connections[name].as_loaded.ends[1])
            for name, child in to_initiate(desired, observed, ending)
        ),
    )


def plan_without_sas(
    desired: Desired, observed: Observed, scope: Scope | None = None, unsure: bool = False
) -> Plan:
    """What can be done before it is known what runs. Empty when nothing can, or nothing is to do.

    Only while IKE stays as it is loaded: then loading hides nothing that dials with old settings.
    """
    loaded = {name: shape.ike_fingerprint for name, shape in observed.connections.items()}
    wanted = {name: one.as_loaded.ike_fingerprint for name, one in desired.connections.items()}
    if scope is None or loaded != wanted:
        return Plan()
    return make_plan(desired, replace(observed, ike_sas=()), scope, unsure).without_initiation()


def _edited(desired: Desired, observed: Observed) -> Iterator[str]:
    """Connections that run with algorithms which their names do not stand for.

    charon does not tell the proposals it holds, so this is how another hand's edit shows.
    """
    for sa in observed.ike_sas:
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
        there = observed.addresses.first_in(network) or observed.loopback_addresses.first_in(
            network
        )
        if spare and there is None:
            yield network.network_address


def _needless_anchors(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    needed = {network.network_address for network in desired.hosted}
    return (address for address in observed.loopback_addresses if address not in needed)


def gateway_address_conflict(claims: Iterable[str], gateway: AddressSet) -> str:
    """Why a gateway with these addresses must not carry a tunnel with these networks, or "".

    A translation to one of them would lead a server's packets to the gateway, and a remote network
    with one of them would lead the gateway's own packets away.
    """
    for network in claims:
        if taken := gateway.first_in(IPv4Network(network)):
            return f"{network} has {taken} in it, which is an address of the gateway itself"
    return ""
