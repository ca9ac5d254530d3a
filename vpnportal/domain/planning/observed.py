"""Observed state of a concentrator, and the scope of an observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.domain.planning.hosted_side import Links
from vpnportal.domain.planning.kernel_ipsec import KernelIpsec, Peers
from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite

# States of a CHILD_SA that carries traffic. A rekeyed CHILD_SA carries until it is replaced.
CARRYING = frozenset(("INSTALLED", "UPDATING", "REKEYING", "REKEYED"))
# States of a CHILD_SA that does not carry traffic yet.
COMING = frozenset(("CREATED", "ROUTED", "INSTALLING", "RETRYING"))


@dataclass(frozen=True, slots=True)
class Scope:
    """A single tunnel, with the names that its newest and earlier revisions gave.

    charon does not tell whether it holds a certain secret, so `secrets` are the ids that it may
    hold. With `lists_secrets`, charon lists all: during a rotation, their order counts. Only the
    keys of `elements` count: the maps may hold other values under them. `routes` are the announced
    routes of these revisions. `peers` are those between which the kernel may have states of the
    tunnel.
    """

    connection: str
    secrets: frozenset[str]
    elements: NatElements
    routes: frozenset[str] = frozenset()
    peers: frozenset[Peers] = frozenset()
    lists_secrets: bool = False


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A CHILD_SA as charon lists it, with charon's `state`, such as INSTALLED.

    Selectors are networks as text, such as 10.2.0.0/24. Packets are counted since the CHILD_SA
    was installed, `installed_seconds` ago. The SPIs of both directions are 0 while the kernel has
    no states of it. `mark` is the mark of its packets, 0 without one.
    """

    name: str
    unique_id: str
    state: str
    suite: Suite = UNNAMED
    local_ts: tuple[str, ...] = ()
    remote_ts: tuple[str, ...] = ()
    packets_in: int = 0
    packets_out: int = 0
    installed_seconds: int = 0
    spi_in: int = 0
    spi_out: int = 0
    mark: int = 0


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE_SA with its CHILD_SAs, with charon's `state`, such as ESTABLISHED.

    `tasks` are charon's active and queued exchanges, such as QUICK_MODE. `initiator` is True if
    the concentrator initiated. `suite` is empty before it is negotiated. `version` is the IKE
    version, 1 or 2. charon counts unique ids upwards from 1.
    """

    connection: str
    unique_id: str
    state: str
    children: tuple[ChildSa, ...]
    tasks: frozenset[str] = frozenset()
    local_host: str = ""
    remote_host: str = ""
    initiator: bool = True
    suite: Suite = UNNAMED
    version: int = 2

    @property
    def is_negotiating(self) -> bool:
        """Return True if charon may be negotiating children that it does not list yet."""
        return self.state == "CONNECTING" or bool(self.tasks & {"QUICK_MODE", "CHILD_CREATE"})


@dataclass(frozen=True, slots=True)
class Observed:
    """The portal's connections, secrets, SAs, map elements and routes on a concentrator.

    `secrets` are ids, first the one loaded last, or None if they were not observed. `addresses` are
    the gateway's own, `loopback_addresses` those that the portal added. With `userland_esp`, charon
    carries ESP instead of the kernel. `routes` are the announced routes. With
    `has_tunnel_route`, packets into tunnels have a route; otherwise `public_interface` leads to a
    peer, or is "" if none does. `foreign_connections` are names of connections that are not the
    portal's. `drop_counters` are numbers of packets by counter name. An observation of a scope has
    neither of them. `links` are the gateway's interfaces, or None if they were not observed.
    `kernel` has the kernel's states and policies; of a scope only the states between its peers, and
    with userland ESP nothing.
    `leftover_flows` are the portal's translated flows whose element is in no map; empty if the
    flows were not read.
    """

    connections: dict[str, LoadedConnection]
    secrets: tuple[str, ...] | None
    ike_sas: tuple[IkeSa, ...]
    elements: NatElements
    rules_current: bool
    addresses: AddressSet
    loopback_addresses: AddressSet
    userland_esp: bool
    routes: frozenset[str] = frozenset()
    has_tunnel_route: bool = True
    public_interface: str = ""
    foreign_connections: tuple[str, ...] = ()
    drop_counters: Mapping[str, int] = field(default_factory=dict)
    kernel: KernelIpsec = field(default_factory=KernelIpsec)
    leftover_flows: frozenset[NatFlows] = frozenset()
    links: Links | None = None
