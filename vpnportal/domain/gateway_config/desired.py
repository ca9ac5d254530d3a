"""Desired state of a concentrator as values: connections, secrets, map elements, networks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple, Protocol, TypeAlias

from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.tunnel.algorithms import Suite

# A section of a vici message.
ViciSection: TypeAlias = "dict[str, str | list[str] | ViciSection]"


class LoadedChild(NamedTuple):
    """A child as charon lists it in `list-conns`: selectors as text, rekey time in seconds."""

    name: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    rekey_seconds: str
    dpd_action: str = "start"


class LoadedConnection(NamedTuple):
    """A connection as charon lists it in `list-conns`, without proposals and secrets.

    The names of the children cover proposals and secrets. The other fields reveal a
    connection with a name of the portal that another program loaded. `ends` are the addresses of
    the hosted and the remote peer, then the identities of both. Children are sorted by name.
    `unique` decides about an older IKE_SA of the peer, as in charon.
    """

    version: str
    ends: tuple[str, ...]
    ike_fingerprint: str
    rekey_seconds: str
    children: tuple[LoadedChild, ...]
    unique: str = "UNIQUE_REPLACE"

    @property
    def names(self) -> frozenset[str]:
        """The names of the children."""
        return frozenset(child.name for child in self.children)


class SettingsSource(Protocol):
    """Settings and preshared key of a connection, read only when the connection is loaded."""

    @property
    def settings(self) -> ViciSection:
        """The vici section of a connection, as `load-conn` takes it."""

    @property
    def preshared_key(self) -> str:
        """The preshared key of a connection, as `load-shared` takes it."""

    @property
    def next_key(self) -> str:
        """The next preshared key during a rotation, otherwise ""."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An IKE connection with its children, as `load-conn` takes it.

    `name` is `ctx42` for tunnel 42. `suite` is the suite of its IKE_SAs, `child_suite` of its
    CHILD_SAs. With `initiates` False, only the peer initiates. `mark` is the mark of its packets, 0
    without one.
    """

    name: str
    as_loaded: LoadedConnection
    suite: Suite
    child_suite: Suite
    source: SettingsSource = field(hash=False, compare=False, repr=False)
    initiates: bool = True
    mark: int = 0

    @property
    def children(self) -> frozenset[str]:
        """The names of the children, which carry the fingerprints of their settings."""
        return self.as_loaded.names

    @property
    def settings(self) -> ViciSection:
        """The vici section of the connection, as `load-conn` takes it."""
        return self.source.settings

    def suite_of(self, child: str) -> Suite | None:
        """Return the suite of a child, or None if the connection has no child of this name."""
        return self.child_suite if child in self.children else None


@dataclass(frozen=True, slots=True)
class Secret:
    """A preshared key for a pair of identities, as `load-shared` takes it.

    `is_next` is True for the next key of a rotation.
    """

    id: str
    connection: str
    owners: tuple[str, str]
    source: SettingsSource = field(hash=False, compare=False, repr=False)
    is_next: bool = False

    @property
    def data(self) -> str:
        """The preshared key."""
        return self.source.next_key if self.is_next else self.source.preshared_key


@dataclass(frozen=True, slots=True)
class CompiledTunnel:
    """The desired state of a single tunnel.

    `mark` is the tunnel's number at its concentrator, 0 without one. `translations` are numbers:
    an internal address in the bits above a customer address. `hosted` are the networks behind the
    concentrator. `claims` are the remote and static NAT subnets, in which the gateway must have no
    address. The first `reachable` of them are remote subnets that servers reach without a
    translation. `routes` are the static NAT subnets and the hosted peer address, which the gateway
    announces. Networks are text, because few of ten thousand tunnels need them parsed.
    `next_secret` is the next preshared key during a rotation; with `signs_with_next`, the
    concentrator authenticates with it.
    """

    connection: Connection
    secret: Secret
    mark: int
    translations: array[int]
    hosted: tuple[str, ...]
    claims: tuple[str, ...]
    reachable: int
    routes: tuple[str, ...] = ()
    next_secret: Secret | None = None
    signs_with_next: bool = False

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The preshared keys in the order in which charon must load them.

        charon authenticates with the one loaded last, and accepts each of them from an IKEv2 peer.
        """
        if self.next_secret is None:
            return (self.secret,)
        both = (self.secret, self.next_secret)
        return both if self.signs_with_next else both[::-1]

    @property
    def hosted_peer(self) -> str:
        """The gateway's address for the peer."""
        return self.connection.as_loaded.ends[0]

    @property
    def networks(self) -> tuple[str, ...]:
        """The remote networks that servers reach without a translation."""
        return self.claims[: self.reachable]

    @property
    def elements(self) -> NatElements:
        """The elements of the nftables maps."""
        return NatElements.of_tunnels([self])


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state of a tunnel or a concentrator: connections by name, secrets by id.

    Of two secrets of a connection, the last one is that with which the concentrator authenticates.
    The userland data plane needs an address of the gateway in each of the `hosted` networks.
    `routes` are the announced routes, such as 10.1.255.92/30.
    `hosted_interfaces` are the operator's names of the interfaces that lead to them, if any.
    """

    connections: dict[str, Connection]
    secrets: dict[str, Secret]
    elements: NatElements
    hosted: frozenset[IPv4Network]
    routes: frozenset[str] = frozenset()
    hosted_interfaces: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tunnels: Iterable[CompiledTunnel], hosted_interfaces: Iterable[str] = ()
    ) -> Desired:
        """Return the desired state of the tunnels together."""
        compiled = tuple(tunnels)
        return cls(
            connections={tunnel.connection.name: tunnel.connection for tunnel in compiled},
            secrets={secret.id: secret for tunnel in compiled for secret in tunnel.secrets},
            elements=NatElements.of_tunnels(compiled),
            hosted=frozenset(
                map(IPv4Network, {network for tunnel in compiled for network in tunnel.hosted})
            ),
            routes=frozenset(route for tunnel in compiled for route in tunnel.routes),
            hosted_interfaces=tuple(hosted_interfaces),
        )
