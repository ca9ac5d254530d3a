"""..._Address_Translation: one row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.addresses import TRANSLATION, records
from vpnportal.api.types.properties import column
from vpnportal.models import AddressTranslation


def _contexts(reader: SerializationContext, rows: Sequence[AddressTranslation]) -> Sequence[Any]:
    """Looked up anew: what a context tells is more than its row has."""
    found = lookup.visible(reader.caller).in_bulk({row.tunnel_id for row in rows})
    return [found.get(row.tunnel_id) for row in rows]


register_type(
    DataType(
        TRANSLATION,
        {
            "id": column("pk"),
            "networkTunnelContextId": column("tunnel_id"),
            "internalIpAddress": column("internal_address"),
            "internalIpAddressId": lambda reader, one: lookup.address_id(one.internal_address),
            "customerIpAddress": column("customer_address"),
            "customerIpAddressId": lambda reader, one: lookup.address_id(one.customer_address),
            "notes": column("name"),
        },
        {
            "internalIpAddressRecord": Relation(
                "SoftLayer_Network_Subnet_IpAddress", records("internal_address"), many=False
            ),
            "customerIpAddressRecord": Relation(
                "SoftLayer_Network_Customer_Subnet_IpAddress",
                records("customer_address"),
                many=False,
            ),
            "networkTunnelContext": Relation(
                "SoftLayer_Network_Tunnel_Module_Context", _contexts, many=False
            ),
        },
    )
)
