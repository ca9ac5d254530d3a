"""Addresses of subnets at either end. They are no rows: a subnet has as many as fit in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from vpnportal.api import lookup
from vpnportal.api.faults import public_fault
from vpnportal.api.serializers import (
    MOST_OBJECTS,
    TOO_MUCH,
    DataType,
    Relation,
    SerializationContext,
    register_type,
)
from vpnportal.api.types import related_rows
from vpnportal.api.types.properties import column, constant
from vpnportal.domain.addresses import dotted, number
from vpnportal.models import AddressTranslation, Subnet


def has_ends(subnet: Subnet) -> bool:
    """Whether no host has its first and last address: not in small ones, nor where each translates.

    RFC 3021.
    """
    return subnet.kind != Subnet.Kind.STATIC_NAT and subnet.network.prefixlen < 31


@dataclass(frozen=True, slots=True)
class Address:
    """One address, as a number, and the subnet that it is in, if any of the tunnel's holds it."""

    value: int
    subnet: Subnet | None = None
    name: str = ""

    @property
    def text(self) -> str:
        return dotted(self.value)

    @property
    def is_network(self) -> bool:
        """The first address of a subnet that has such an end."""
        return self.subnet is not None and has_ends(self.subnet) and self.value == self.subnet.first

    @property
    def is_broadcast(self) -> bool:
        """The last one."""
        return self.subnet is not None and has_ends(self.subnet) and self.value == self.subnet.last


@dataclass(frozen=True, slots=True)
class Addresses(Sequence[Address]):
    """Every address of a subnet, made when it is asked for: there may be millions."""

    subnet: Subnet
    values: range

    @classmethod
    def of(cls, subnet: Subnet) -> Addresses:
        return cls(subnet, range(subnet.first, subnet.last + 1))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Address]:
        """A fault where nobody could want them all; a part of them can be sliced."""
        if len(self) > MOST_OBJECTS:
            raise public_fault(TOO_MUCH)
        return (Address(value, self.subnet) for value in self.values)

    @overload
    def __getitem__(self, at: int) -> Address: ...
    @overload
    def __getitem__(self, at: slice) -> Addresses: ...
    def __getitem__(self, at: int | slice) -> Address | Addresses:
        if isinstance(at, slice):
            return Addresses(self.subnet, self.values[at])
        return Address(self.values[at], self.subnet)


def all_addresses(reader: SerializationContext, subnets: Sequence[Subnet]) -> Sequence[Any]:
    """The relation from a subnet to its addresses."""
    return [Addresses.of(one) for one in subnets]


def held(text: str, name: str, subnets: Iterable[Subnet]) -> Address:
    """An address with the subnet among these that holds it."""
    value = number(text)
    return Address(value, next((s for s in subnets if s.first <= value <= s.last), None), name)


def _subnet(reader: SerializationContext, addresses: Sequence[Address]) -> Sequence[Any]:
    return [one.subnet for one in addresses]


def _translations(field: str) -> Any:
    def load(reader: SerializationContext, addresses: Sequence[Address]) -> Sequence[Any]:
        found: Mapping[str, list[AddressTranslation]] = _by(field, reader)
        return [found.get(one.text, []) for one in addresses]

    return load


def _by(field: str, reader: SerializationContext) -> dict[str, list[AddressTranslation]]:
    """The caller's translations by one of their addresses, read once for an answer."""
    if field not in reader.kept:
        rows = AddressTranslation.objects.filter(tunnel__in=lookup.visible(reader.caller))
        reader.kept[field] = {}
        for row in rows:
            reader.kept[field].setdefault(getattr(row, field), []).append(row)
    known: dict[str, list[AddressTranslation]] = reader.kept[field]
    return known


def records(field: str) -> Any:
    """The relation from a translation to one of its two addresses."""

    def load(reader: SerializationContext, rows: Sequence[AddressTranslation]) -> Sequence[Any]:
        subnets = related_rows.subnets(reader, [row.tunnel_id for row in rows])
        known = zip(rows, subnets, strict=True)
        return [held(getattr(row, field), row.name, mine) for row, mine in known]

    return load


SHARED = {
    "id": lambda reader, one: lookup.address_id(one.text),
    "subnetId": lambda reader, one: one.subnet.pk if one.subnet else None,
    "ipAddress": column("text"),
}
TRANSLATION = "SoftLayer_Network_Tunnel_Module_Context_Address_Translation"

register_type(
    DataType(
        "SoftLayer_Network_Subnet_IpAddress",
        {
            **SHARED,
            "note": column("name"),
            "isNetwork": column("is_network"),
            "isBroadcast": column("is_broadcast"),
            "isGateway": constant(False),
            "isReserved": constant(False),
        },
        {
            "subnet": Relation("SoftLayer_Network_Subnet", _subnet, many=False),
            "contextTunnelTranslations": Relation(TRANSLATION, _translations("internal_address")),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Network_Customer_Subnet_IpAddress",
        {**SHARED, "notes": column("name")},
        {
            "subnet": Relation("SoftLayer_Network_Customer_Subnet", _subnet, many=False),
            "translations": Relation(TRANSLATION, _translations("customer_address")),
        },
    )
)
