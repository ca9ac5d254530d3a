"""What was seen on a concentrator, and how much of it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite

# States in which a CHILD_SA carries traffic; an old one goes on until its successor is in place.
CARRYING = frozenset(("INSTALLED", "UPDATING", "REKEYING", "REKEYED"))
# States that lead there.
COMING = frozenset(("CREATED", "ROUTED", "INSTALLING", "RETRYING"))


@dataclass(frozen=True, slots=True)
class Scope:
    """One tunnel of a concentrator: all that its newest and its earlier revisions name.

    charon cannot be asked for one secret, so `secrets` are the ids that may be there still. Of the
    `elements` the keys count: under them others may be there.
    """

    connection: str
    secrets: frozenset[str]
    elements: NatElements


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A CHILD_SA as charon lists it; `state` is charon's word, such as INSTALLED.

    Selectors are networks as text, such as 10.2.0.0/24; counters count since `installed_seconds`.
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


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE_SA with its children; `state` is charon's word, such as ESTABLISHED.

    `tasks` are the exchanges that charon is at or will be, such as QUICK_MODE. `initiator` tells
    whether this end began it. `suite` is empty before it is negotiated.
    """

    connection: str
    unique_id: str
    state: str
    children: tuple[ChildSa, ...]
    tasks: frozenset[str] = frozenset()
    remote_host: str = ""
    initiator: bool = True
    suite: Suite = UNNAMED

    @property
    def negotiating(self) -> bool:
        """Whether children may be on their way that are not listed yet."""
        return self.state == "CONNECTING" or bool(self.tasks & {"QUICK_MODE", "CHILD_CREATE"})


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. Only what is ours: other connections and tables are left alone.

    `connections` has what charon tells of each loaded connection. `secrets` is None where they
    were not looked at. `addresses` are the gateway's own, `anchors` those that we added to them.
    `userland_esp` tells the data plane: ESP by charon itself instead of the kernel. `foreign` are
    the names of connections that are not ours; `dropped` are packets by counter. Both are only
    looked at with everything.
    """

    connections: dict[str, LoadedConnection]
    secrets: frozenset[str] | None
    ike_sas: tuple[IkeSa, ...]
    elements: NatElements
    rules_current: bool
    addresses: AddressSet
    loopback_addresses: AddressSet
    userland_esp: bool
    foreign_connections: tuple[str, ...] = ()
    drop_counters: Mapping[str, int] = field(default_factory=dict)
