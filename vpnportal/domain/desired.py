"""What a concentrator can hold, as values: connections, secrets, translations, anchors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias

# A vici message section: text, lists of text, or sections.
Section: TypeAlias = "dict[str, str | list[str] | Section]"


@dataclass(frozen=True, slots=True)
class Connection:
    """One IKE connection with its children, as `load-conn` takes it.

    `name` is `ctx42`. Names of children carry the fingerprint of all that matters to them, so the
    set of names says whether a loaded connection is this one.
    """

    name: str
    children: frozenset[str]
    settings: Section = field(hash=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """A preshared key for a pair of identities, as `load-shared` takes it."""

    id: str
    connection: str
    owners: tuple[str, str]
    data: str = field(repr=False)


class Map(StrEnum):
    """Our two nftables maps: towards the customer by destination, from the customer by source."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """One entry of a map: packets with address `key` are given address `value`."""

    map: Map
    key: IPv4Address
    value: IPv4Address


@dataclass(frozen=True, slots=True)
class Desired:
    """All that the newest revisions in a scope ask of a concentrator.

    `hosted` are the networks behind it, in each of which the userland data plane needs an address.
    """

    connections: dict[str, Connection]
    secrets: dict[str, Secret]
    elements: frozenset[Element]
    hosted: frozenset[IPv4Network]
