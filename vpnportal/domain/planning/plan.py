"""The plan: the steps from the observed to the desired state of a concentrator, in their order.

Leftovers in the kernel end first. Missing rules and the hosted side follow, so that a tunnel gets
packets of the hosted side only, from the first one on. IKE_SAs that still initiate with old
settings are next: once the new connection is loaded, charon does not tell them from IKE_SAs that
initiate with the new settings. Then come secrets and connections: if charon refuses them, nothing
of the tunnel has changed. Removals follow, beginning with the announced routes, so that the network
sends no more packets. Then come the translations, and the new routes, which bring the first
packets. Initiation is last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import Connection, Desired, Secret
from vpnportal.domain.gateway_config.names import connection_of_secret
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.gateway_config.nat_flows import NatFlows, flows_of, flows_without_element
from vpnportal.domain.planning.hosted_side import hosted_side
from vpnportal.domain.planning.leftovers import Leftover
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.stale_sas import StaleSa, stale_sas, to_initiate


class Start(NamedTuple):
    """A CHILD_SA to initiate, with the address of its peer."""

    connection: str
    child: str
    peer: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the fields. Empty (false) if the observed state is the desired state.

    `unload_secrets` holds ids, `unload_connections` names, `tunnel_route_over` an interface or "".
    `remove_interfaces` and `add_interfaces` change the hosted side.
    The flows of `remove_elements` end with them; `end_flows` outlived an earlier removal.
    """

    remove_leftovers: tuple[Leftover, ...] = ()
    write_rules: bool = False
    remove_interfaces: tuple[str, ...] = ()
    add_interfaces: tuple[str, ...] = ()
    tunnel_route_over: str = ""
    add_addresses: tuple[IPv4Address, ...] = ()
    terminate_dialing: tuple[StaleSa, ...] = ()
    load_secrets: tuple[Secret, ...] = ()
    load_connections: tuple[Connection, ...] = ()
    remove_routes: tuple[str, ...] = ()
    unload_connections: tuple[str, ...] = ()
    unload_secrets: tuple[str, ...] = ()
    terminate: tuple[StaleSa, ...] = ()
    remove_elements: NatElements = field(default_factory=NatElements)
    add_elements: NatElements = field(default_factory=NatElements)
    end_flows: frozenset[NatFlows] = frozenset()
    add_routes: tuple[str, ...] = ()
    remove_addresses: tuple[IPv4Address, ...] = ()
    initiate: tuple[Start, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _step_names())

    @property
    def terminates_sas(self) -> bool:
        """Return True if the observed SAs are out of date after the plan."""
        return bool(
            self.remove_leftovers
            or self.terminate_dialing
            or self.unload_connections
            or self.terminate
        )

    def without_initiation(self) -> Plan:
        """Return the plan without initiation, whose success depends on the peers."""
        return replace(self, initiate=()) if self.initiate else self

    def excluding(self, connections: frozenset[str], desired: Desired) -> Plan:
        """Return the plan without removals from connections whose desired state is unreadable.

        A map element does not show its tunnel. An element is removed, and its flows are ended, only
        if the desired state has another value for its key. A route does not show its tunnel either.
        """
        if not connections:
            return self
        return replace(
            self,
            unload_connections=tuple(
                name for name in self.unload_connections if name not in connections
            ),
            unload_secrets=tuple(
                secret_id
                for secret_id in self.unload_secrets
                if connection_of_secret(secret_id) not in connections
            ),
            terminate_dialing=tuple(
                sa for sa in self.terminate_dialing if sa.connection not in connections
            ),
            terminate=tuple(sa for sa in self.terminate if sa.connection not in connections),
            remove_elements=self.remove_elements.under(desired.elements),
            remove_routes=(),
            end_flows=_with_desired_keys(self.end_flows, desired),
            remove_addresses=(),
        )


@cache
def _step_names() -> tuple[str, ...]:
    return tuple(step.name for step in fields(Plan))


def make_plan(
    desired: Desired,
    observed: Observed,
    scope: Scope | None = None,
    may_hold_old_secrets: bool = False,
) -> Plan:
    """Return the steps from the observed to the desired state of a scope.

    With `scope` None, the states are those of the whole concentrator.

    `may_hold_old_secrets`: an earlier apply may have stopped before it unloaded its old secrets.
    """
    stale = tuple(stale_sas(desired, observed))
    reloaded = frozenset(_with_other_algorithms(desired, observed))
    load = tuple(
        connection
        for name, connection in desired.connections.items()
        if observed.connections.get(name) != connection.as_loaded or name in reloaded
    )
    unload = tuple(sorted(observed.connections.keys() - desired.connections.keys()))
    load_secrets, unload_secrets = _secrets(desired, observed, scope, load, unload)
    if may_hold_old_secrets and scope:
        old = scope.secrets - desired.secrets.keys()
        unload_secrets = tuple(sorted({*unload_secrets, *old}))

    remove_interfaces, add_interfaces = _hosted_side_changes(desired, observed)

    dialing = tuple(_dialing_with_other_key(load_secrets, observed))

    def only_initiates(sa: StaleSa) -> bool:
        return not sa.carries and sa.connection in desired.connections

    needs_tunnel_route = bool(desired.connections) and not observed.has_tunnel_route
    return Plan(
        tunnel_route_over=observed.public_interface if needs_tunnel_route else "",
        add_addresses=tuple(_missing_loopback_addresses(desired, observed)),
        terminate_dialing=(*(sa for sa in stale if only_initiates(sa)), *dialing),
        load_secrets=load_secrets,
        load_connections=load,
        remove_routes=tuple(sorted(observed.routes - desired.routes)),
        unload_connections=unload,
        unload_secrets=unload_secrets,
        terminate=tuple(sa for sa in stale if not only_initiates(sa)),
        write_rules=not observed.rules_current,
        remove_interfaces=remove_interfaces,
        add_interfaces=add_interfaces,
        remove_elements=observed.elements - desired.elements,
        add_elements=desired.elements - observed.elements,
        end_flows=_flows_to_end(desired, observed, scope),
        add_routes=tuple(sorted(desired.routes - observed.routes)),
        remove_addresses=() if scope else tuple(_surplus_loopback_addresses(desired, observed)),
        initiate=tuple(
            Start(name, child, desired.connections[name].as_loaded.ends[1])
            for name, child in to_initiate(desired, observed, stale)
        ),
    )


def plan_without_sas(
    desired: Desired,
    observed: Observed,
    scope: Scope | None = None,
    may_hold_old_secrets: bool = False,
) -> Plan:
    """Return the plan of the steps that need no list of SAs; an empty plan without a scope.

    The plan is also empty if a connection gets other IKE settings, or authenticates with the other
    key of a rotation. Loading these would hide an IKE_SA that still initiates with the old ones.
    """
    loaded = {name: connection.ike_fingerprint for name, connection in observed.connections.items()}
    wanted = {
        name: connection.as_loaded.ike_fingerprint
        for name, connection in desired.connections.items()
    }
    if scope is None or loaded != wanted:
        return Plan()
    without_sas = replace(observed, ike_sas=())
    plan = make_plan(desired, without_sas, scope, may_hold_old_secrets).without_initiation()
    return Plan() if _changes_key(plan.load_secrets, observed) else plan


def gateway_address_conflict(claims: Iterable[str], gateway: AddressSet) -> str:
    """Return why a gateway with these addresses must not carry a tunnel, or "" if it may.

    `claims` are the tunnel's remote and static NAT subnets. A translation to a gateway address
    would send a server's packets to the gateway. A remote subnet with a gateway address would
    divert the gateway's own packets.
    """
    for network in claims:
        if address := gateway.first_in(IPv4Network(network)):
            return f"{network} contains {address}, an address of the concentrator itself"
    return ""


def missing_tunnel_route(observed: Observed, peer: str) -> str:
    """Return why a gateway cannot send the packets of a tunnel to `peer`, or "" if it can."""
    if observed.has_tunnel_route or observed.public_interface:
        return ""
    return f"it has no route to the peer {peer}. Its operator must add one"


def _with_other_algorithms(desired: Desired, observed: Observed) -> Iterator[str]:
    """Yield names of connections with a CHILD_SA whose algorithms are not the desired algorithms.

    charon does not list proposals: only these algorithms reveal an edit by another program.
    """
    for sa in observed.ike_sas:
        connection = desired.connections.get(sa.connection)
        if connection is None:
            continue
        for child in sa.children:
            suite = connection.suite_of(child.name)
            if suite is not None and child.suite.differs_from(suite):
                yield sa.connection


def _secrets(
    desired: Desired,
    observed: Observed,
    scope: Scope | None,
    load: tuple[Connection, ...],
    unload: tuple[str, ...],
) -> tuple[tuple[Secret, ...], tuple[str, ...]]:
    """Return the secrets to load and the ids of the secrets to unload.

    If the secrets were not observed, they count as loaded unless the IKE settings of a connection
    change: a connection is loaded after its secret, and their fingerprint covers the secret.
    """
    if observed.secrets is not None:
        held = frozenset(observed.secrets)
    elif unload or any(_has_other_ike_settings(connection, observed) for connection in load):
        held = scope.secrets - desired.secrets.keys() if scope else frozenset()
    else:
        held = frozenset(desired.secrets)
    missing = [secret for name, secret in desired.secrets.items() if name not in held]
    missing += _to_load_last(desired, observed.secrets or (), missing)
    return tuple(missing), tuple(sorted(held - desired.secrets.keys()))


def _to_load_last(
    desired: Desired, observed: Iterable[str], missing: Iterable[Secret]
) -> Iterator[Secret]:
    """Yield the secrets to load again during a rotation, as charon authenticates with another one.

    charon lists the secret that it loaded last first, and authenticates with that.
    """
    rotating = {secret.connection for secret in desired.secrets.values() if secret.is_next}
    if not rotating:
        return
    last_of = {secret.connection: secret for secret in desired.secrets.values()}
    first_of: dict[str, str] = {}
    for secret_id in (*(secret.id for secret in reversed(tuple(missing))), *observed):
        first_of.setdefault(connection_of_secret(secret_id), secret_id)
    for connection in sorted(rotating):
        if first_of.get(connection) != last_of[connection].id:
            yield last_of[connection]


def _changes_key(load: Iterable[Secret], observed: Observed) -> frozenset[str]:
    """Return the connections that get a key which charon has already, but does not use.

    At the begin of a rotation, charon has one of the keys and goes on to use it.
    """
    held = frozenset(observed.secrets or ())
    again = frozenset(secret.connection for secret in load if secret.id in held)
    return again.difference(secret.connection for secret in load if secret.id not in held)


def _dialing_with_other_key(load: Iterable[Secret], observed: Observed) -> Iterator[StaleSa]:
    """Yield the IKE_SAs that initiate with a key that the peer has just rejected.

    An IKEv1 peer may be silent: charon would wait for minutes before it tries the other key.
    """
    changed = _changes_key(load, observed)
    for sa in observed.ike_sas:
        if sa.connection in changed and sa.initiator and sa.state == "CONNECTING":
            yield StaleSa(sa.connection, sa.unique_id, whole_ike=True, carries=False)


def _has_other_ike_settings(connection: Connection, observed: Observed) -> bool:
    loaded = observed.connections.get(connection.name)
    return loaded is None or loaded.ike_fingerprint != connection.as_loaded.ike_fingerprint


def _flows_to_end(desired: Desired, observed: Observed, scope: Scope | None) -> frozenset[NatFlows]:
    """Return the flows that outlived the removal of their element.

    While rules are missing, elements may be missing too. An observation of a scope reads no flows
    then, so the flows of all elements that the tunnel had count as left over.
    """
    flows = flows_without_element(observed.leftover_flows, desired.elements)
    if scope and not observed.rules_current:
        return flows.union(flows_of(scope.elements - desired.elements))
    return flows


def _with_desired_keys(flows: frozenset[NatFlows], desired: Desired) -> frozenset[NatFlows]:
    elements = NatElements.from_elements(item.loaded_element for item in flows)
    with_desired_keys = elements.under(desired.elements)
    return frozenset(item for item in flows if item.loaded_element in with_desired_keys)


def _hosted_side_changes(
    desired: Desired, observed: Observed
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the interfaces to remove from the hosted side and to add; none without `links`."""
    if observed.links is None:
        return (), ()
    wanted = hosted_side(desired.hosted_interfaces, observed.links).interfaces
    present = observed.links.hosted_side
    return tuple(sorted(present - wanted)), tuple(sorted(wanted - present))


def _missing_loopback_addresses(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    """Yield the network address of each hosted network in which the gateway has no address.

    Userland ESP installs no route for such a network. Networks of 31 and 32 bits are skipped.
    """
    if not observed.userland_esp:
        return
    for network in sorted(desired.hosted):
        # Each address of a network of 31 or 32 bits belongs to a host (RFC 3021).
        has_spare_address = network.prefixlen < 31
        gateway_address = observed.addresses.first_in(
            network
        ) or observed.loopback_addresses.first_in(network)
        if has_spare_address and gateway_address is None:
            yield network.network_address


def _surplus_loopback_addresses(desired: Desired, observed: Observed) -> Iterator[IPv4Address]:
    needed = {network.network_address for network in desired.hosted}
    return (address for address in observed.loopback_addresses if address not in needed)
