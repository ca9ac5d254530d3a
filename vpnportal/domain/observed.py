"""What was seen on a concentrator, and how much of it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal.domain.desired import Element, Map

# States in which a CHILD_SA carries traffic; an old one goes on until its successor is in place.
CARRYING = frozenset(("INSTALLED", "UPDATING", "REKEYING", "REKEYED"))
# States that lead there.
COMING = frozenset(("CREATED", "ROUTED", "INSTALLING", "RETRYING"))


@dataclass(frozen=True, slots=True)
class Scope:
    """One tunnel of a concentrator: all that its newest and its earlier revisions name.

    charon cannot be asked for one secret, so `secrets` are the ids that may be there still.
    """

    connection: str
    secrets: frozenset[str]
    keys: frozenset[tuple[Map, IPv4Address]]


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A CHILD_SA as charon lists it; `state` is charon's word, such as INSTALLED."""

    name: str
    unique_id: str
    state: str


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE_SA with its children; `state` is charon's word, such as ESTABLISHED.

    `tasks` are the exchanges that charon is at or will be, such as QUICK_MODE.
    """

    connection: str
    unique_id: str
    state: str
    children: tuple[ChildSa, ...]
    tasks: frozenset[str] = frozenset()

    @property
    def negotiating(self) -> bool:
        """Whether children may be on their way that are not listed yet."""
        return self.state == "CONNECTING" or bool(self.tasks & {"QUICK_MODE", "CHILD_CREATE"})


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. Only what is ours: other connections and tables are left alone.

    `connections` has the names of the loaded children by connection. `secrets` is None where they
    were not looked at. `addresses` are all the gateway's own, `anchors` those that we added.
    `userland_esp` tells the data plane: ESP by charon itself instead of the kernel.
    """

    connections: dict[str, frozenset[str]]
    secrets: frozenset[str] | None
    associations: tuple[IkeSa, ...]
    elements: frozenset[Element]
    rules_stand: bool
    addresses: frozenset[IPv4Address]
    anchors: frozenset[IPv4Address]
    userland_esp: bool
