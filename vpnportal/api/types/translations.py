"""SoftLayer_Network_Tunnel_Module_Context_Address_Translation: a translation of a tunnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.addresses import TRANSLATION, address_records
from vpnportal.api.types.properties import column
from vpnportal.models import AddressTranslation


def _contexts(
    serialization: SerializationContext, rows: Sequence[AddressTranslation]
) -> Sequence[Any]:
    """Return the tunnel of each translation, with the annotations that a context needs."""
    tunnels = lookup.visible_tunnels(serialization.caller)
    tunnels_by_id = tunnels.in_bulk({row.tunnel_id for row in rows})
    return [tunnels_by_id.get(row.tunnel_id) for row in rows]


register_type(
    DataType(
        TRANSLATION,
        {
            "id": column("pk"),
            "networkTunnelContextId": column("tunnel_id"),
            "internalIpAddress": column("internal_address"),
            "internalIpAddressId": lambda serialization, row: lookup.address_id(
                row.internal_address
            ),
            "customerIpAddress": column("customer_address"),
            "customerIpAddressId": lambda serialization, row: lookup.address_id(
                row.customer_address
            ),
            "notes": column("name"),
        },
        {
            "internalIpAddressRecord": Relation(
                "SoftLayer_Network_Subnet_IpAddress",
                address_records("internal_address"),
                many=False,
            ),
            "customerIpAddressRecord": Relation(
                "SoftLayer_Network_Customer_Subnet_IpAddress",
                address_records("customer_address"),
                many=False,
            ),
            "networkTunnelContext": Relation(
                "SoftLayer_Network_Tunnel_Module_Context", _contexts, many=False
            ),
        },
    )
)
