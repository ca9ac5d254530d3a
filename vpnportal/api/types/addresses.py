"""SoftLayer_Network_Subnet_IpAddress and SoftLayer_Network_Customer_Subnet_IpAddress.

IP addresses have no database rows: they are derived from subnets and translations.
`lookup.address_id` computes the id of an IP address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from vpnportal.api import lookup
from vpnportal.api.faults import public_fault
from vpnportal.api.serializers import (
    MAX_OBJECTS,
    REPLY_TOO_LARGE,
    DataType,
    Relation,
    RelationLoader,
    SerializationContext,
    register_type,
)
from vpnportal.api.types import related_rows
from vpnportal.api.types.properties import column, constant
from vpnportal.domain.addresses import dotted, number
from vpnportal.models import AddressTranslation, Subnet


def has_network_and_broadcast(subnet: Subnet) -> bool:
    """Return True if no host may use the first and the last address.

    Hosts use both in subnets of one or two addresses (RFC 3021). In a static NAT subnet every
    address translates to a host.
    """
    return subnet.kind != Subnet.Kind.STATIC_NAT and subnet.network.prefixlen < 31


@dataclass(frozen=True, slots=True)
class Address:
    """IPv4 address as an integer, with the subnet that contains the address.

    `subnet` is None if no subnet of the tunnel contains the address.
    """

    value: int
    subnet: Subnet | None = None
    name: str = ""

    @property
    def text(self) -> str:
        """Dotted form of the address."""
        return dotted(self.value)

    @property
    def is_network(self) -> bool:
        """True for the first address of a subnet whose hosts may not use it."""
        return (
            self.subnet is not None
            and has_network_and_broadcast(self.subnet)
            and self.value == self.subnet.first
        )

    @property
    def is_broadcast(self) -> bool:
        """True for the last address of a subnet whose hosts may not use it."""
        return (
            self.subnet is not None
            and has_network_and_broadcast(self.subnet)
            and self.value == self.subnet.last
        )


@dataclass(frozen=True, slots=True)
class Addresses(Sequence[Address]):
    """Lazy sequence of all addresses of a subnet, which may be millions."""

    subnet: Subnet
    values: range

    @classmethod
    def of(cls, subnet: Subnet) -> Addresses:
        """Return all addresses of a subnet."""
        return cls(subnet, range(subnet.first, subnet.last + 1))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Address]:
        """Return an iterator. Raises Fault for more than MAX_OBJECTS; slice the sequence first."""
        if len(self) > MAX_OBJECTS:
            raise public_fault(REPLY_TOO_LARGE)
        return (Address(value, self.subnet) for value in self.values)

    @overload
    def __getitem__(self, index: int) -> Address: ...
    @overload
    def __getitem__(self, index: slice) -> Addresses: ...
    def __getitem__(self, index: int | slice) -> Address | Addresses:
        if isinstance(index, slice):
            return Addresses(self.subnet, self.values[index])
        return Address(self.values[index], self.subnet)


def all_addresses(
    serialization: SerializationContext, subnets: Sequence[Subnet]
) -> Sequence[Addresses]:
    """Return all addresses of each subnet, in the order of `subnets`."""
    return [Addresses.of(subnet) for subnet in subnets]


def address_in(subnets: Iterable[Subnet], text: str, name: str) -> Address:
    """Return the address `text` with the first of `subnets` that contains it, or with None."""
    value = number(text)
    containing = (subnet for subnet in subnets if subnet.first <= value <= subnet.last)
    return Address(value, next(containing, None), name)


def _subnets(serialization: SerializationContext, addresses: Sequence[Address]) -> Sequence[Any]:
    return [address.subnet for address in addresses]


def _translations(field: str) -> RelationLoader:
    def load(serialization: SerializationContext, addresses: Sequence[Address]) -> Sequence[Any]:
        by_address = _translations_by(field, serialization)
        return [by_address.get(address.text, []) for address in addresses]

    return load


def _translations_by(
    field: str, serialization: SerializationContext
) -> Mapping[str, list[AddressTranslation]]:
    """Return lists of the caller's translations by the address in `field`, queried once a reply."""
    if field not in serialization.cache:
        rows = AddressTranslation.objects.filter(
            tunnel__in=lookup.visible_tunnels(serialization.caller)
        )
        serialization.cache[field] = {}
        for row in rows:
            serialization.cache[field].setdefault(getattr(row, field), []).append(row)
    by_address: dict[str, list[AddressTranslation]] = serialization.cache[field]
    return by_address


def address_records(field: str) -> RelationLoader:
    """Return a loader of the relation from translations to one of their two addresses."""

    def load(
        serialization: SerializationContext, rows: Sequence[AddressTranslation]
    ) -> Sequence[Address]:
        subnets = related_rows.subnets(serialization, [row.tunnel_id for row in rows])
        return [
            address_in(tunnel_subnets, getattr(row, field), row.name)
            for row, tunnel_subnets in zip(rows, subnets, strict=True)
        ]

    return load


SHARED = {
    "id": lambda serialization, address: lookup.address_id(address.text),
    "subnetId": lambda serialization, address: address.subnet.pk if address.subnet else None,
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
            "subnet": Relation("SoftLayer_Network_Subnet", _subnets, many=False),
            "contextTunnelTranslations": Relation(TRANSLATION, _translations("internal_address")),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Network_Customer_Subnet_IpAddress",
        {**SHARED, "notes": column("name")},
        {
            "subnet": Relation("SoftLayer_Network_Customer_Subnet", _subnets, many=False),
            "translations": Relation(TRANSLATION, _translations("customer_address")),
        },
    )
)
