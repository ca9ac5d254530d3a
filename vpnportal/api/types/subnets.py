"""SoftLayer_Network_Subnet: subnets at the provider, the account's own and shared services."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.addresses import all_addresses, has_network_and_broadcast
from vpnportal.api.types.properties import column, constant, empty_lists, foreign_key
from vpnportal.models import Subnet, Tunnel

SUBNET_TYPES = {
    Subnet.Kind.HOSTED: "PRIMARY",
    Subnet.Kind.SERVICE: "SERVICE",
    Subnet.Kind.STATIC_NAT: "IPSEC_STATIC_NAT",
}


def _usable_addresses(serialization: SerializationContext, row: Subnet) -> str:
    return str(row.network.num_addresses - (2 if has_network_and_broadcast(row) else 0))


def _contexts(serialization: SerializationContext, rows: Sequence[Subnet]) -> Sequence[Any]:
    """Load the caller's tunnels of each subnet: tunnels of all accounts share a service."""
    tunnels = lookup.visible_tunnels(serialization.caller)
    tunnels_by_id = tunnels.filter(subnets__in=rows).distinct().in_bulk()
    links = Tunnel.subnets.through.objects.filter(tunnel__in=tunnels_by_id, subnet__in=rows)
    tunnels_by_subnet: dict[int, list[Any]] = defaultdict(list)
    for subnet_id, tunnel_id in links.order_by("tunnel").values_list("subnet", "tunnel"):
        tunnels_by_subnet[subnet_id].append(tunnels_by_id[tunnel_id])
    return [tunnels_by_subnet[row.pk] for row in rows]


register_type(
    DataType(
        "SoftLayer_Network_Subnet",
        {
            "id": column("pk"),
            "networkIdentifier": lambda serialization, row: str(row.network.network_address),
            "cidr": column("network.prefixlen"),
            "netmask": lambda serialization, row: str(row.network.netmask),
            "broadcastAddress": lambda serialization, row: str(row.network.broadcast_address),
            "note": column("name"),
            "subnetType": lambda serialization, row: SUBNET_TYPES.get(row.kind),
            "addressSpace": constant("PRIVATE"),
            "version": constant(4),
            "sortOrder": lambda serialization, row: str(row.first),
            "isCustomerOwned": constant(False),
            "isCustomerRoutable": constant(False),
            # The old API sent decimals, such as these two, as strings.
            "totalIpAddresses": lambda serialization, row: str(row.network.num_addresses),
            "usableIpAddressCount": _usable_addresses,
        },
        {
            "account": Relation("SoftLayer_Account", foreign_key("account"), many=False),
            "datacenter": Relation("SoftLayer_Location", foreign_key("datacenter"), many=False),
            "ipAddresses": Relation("SoftLayer_Network_Subnet_IpAddress", all_addresses),
            "networkTunnelContexts": Relation("SoftLayer_Network_Tunnel_Module_Context", _contexts),
            # The portal has no machines and labels, but `slcli subnet list` counts them.
            "hardware": Relation("SoftLayer_Hardware", empty_lists),
            "virtualGuests": Relation("SoftLayer_Virtual_Guest", empty_lists),
            "tagReferences": Relation("SoftLayer_Tag_Reference", empty_lists),
        },
    )
)
register_type(DataType("SoftLayer_Hardware", {}))
register_type(DataType("SoftLayer_Virtual_Guest", {}))
register_type(DataType("SoftLayer_Tag_Reference", {}))
