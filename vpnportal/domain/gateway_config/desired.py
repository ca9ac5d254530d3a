"""What a concentrator can hold, as values: connections, secrets, translations, anchors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple, Protocol, TypeAlias

from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.tunnel.algorithms import Suite

# A vici message section: text, lists of text, or sections.
ViciSection: TypeAlias = "dict[str, str | list[str] | ViciSection]"


class LoadedChild(NamedTuple):
    """What charon tells of a loaded child: selectors as text, key life in seconds.

    `when_dead` is what it does when its peer is dead: start again, or nothing.
    """

    name: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    rekey_seconds: str
    dpd_action: str = "start"


class LoadedConnection(NamedTuple):
    """What charon tells of a loaded connection; proposals and secrets are not in it.

    The names of its children cover those. The rest shows what somebody else loaded under a name of
    ours. `mark` is the fingerprint of IKE. Children are in the order of their names.
    """

    version: str
    ends: tuple[str, ...]
    ike_fingerprint: str
    rekey_seconds: str
    children: tuple[LoadedChild, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of the children."""
        return frozenset(child.name for child in self.children)


class SettingsSource(Protocol):
    """Where that comes from which is only needed to load: most of ten thousand are compared."""

    @property
    def settings(self) -> ViciSection:
        """The section of a connection that `load-conn` takes."""

    @property
    def preshared_key(self) -> str:
        """The key that `load-shared` takes."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One IKE connection with its children, as `load-conn` takes it.

    `name` is `ctx42`. `suite` is what an IKE_SA of it runs with, `child_suite` what each of its
    children does. Without `dials` only its peer begins.
    """

    name: str
    as_loaded: LoadedConnection
    suite: Suite
    child_suite: Suite
    source: SettingsSource = field(hash=False, compare=False, repr=False)
    initiates: bool = True

    @property
    def children(self) -> frozenset[str]:
        """The names of its children; each carries the fingerprint of all that matters to it."""
        return self.as_loaded.names

    @property
    def settings(self) -> ViciSection:
        """The section that `load-conn` takes."""
        return self.source.settings

    def suite_of(self, child: str) -> Suite | None:
        """What a child of this name runs with; None where there is no such child."""
        return self.child_suite if child in self.children else None


@dataclass(frozen=True, slots=True)
class Secret:
    """A preshared key for a pair of identities, as `load-shared` takes it; its `id` tells which."""

    id: str
    connection: str
    owners: tuple[str, str]
    source: SettingsSource = field(hash=False, compare=False, repr=False)

    @property
    def data(self) -> str:
        """The key itself."""
        return self.source.preshared_key


@dataclass(frozen=True, slots=True)
class CompiledTunnel:
    """What one specification becomes. `hosted` are the networks behind the concentrator.

    `claims` are the networks of which the gateway itself may have no address. Both are text: there
    may be ten thousand of these, of whose networks hardly one is ever asked for.
    """

    connection: Connection
    secret: Secret
    elements: NatElements
    hosted: tuple[str, ...]
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """All that the newest revisions in a scope ask of a concentrator.

    `hosted` are the networks behind it, in each of which the userland data plane needs an address.
    """

    connections: dict[str, Connection]
    secrets: dict[str, Secret]
    elements: NatElements
    hosted: frozenset[IPv4Network]

    @classmethod
    def of(cls, several: Iterable[CompiledTunnel]) -> Desired:
        """All of these together."""
        each = tuple(several)
        return cls(
            connections={one.connection.name: one.connection for one in each},
            secrets={one.secret.id: one.secret for one in each},
            elements=NatElements.together(one.elements for one in each),
            hosted=frozenset(map(IPv4Network, {text for one in each for text in one.hosted})),
        )
