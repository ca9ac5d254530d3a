"""SoftLayer_Network_Subnet: what the provider has for an account, and its services."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.addresses import all_addresses, has_ends
from vpnportal.api.types.properties import column, constant, leads, nothing
from vpnportal.models import Subnet, Tunnel

TYPES = {
    Subnet.Kind.HOSTED: "PRIMARY",
    Subnet.Kind.SERVICE: "SERVICE",
    Subnet.Kind.STATIC_NAT: "IPSEC_STATIC_NAT",
}


def _usable(reader: SerializationContext, row: Subnet) -> str:
    return str(row.network.num_addresses - (2 if has_ends(row) else 0))


def _contexts(reader: SerializationContext, rows: Sequence[Subnet]) -> Sequence[Any]:
    """The caller's tunnels only: a service has those of every account."""
    mine = lookup.visible(reader.caller).filter(subnets__in=rows).distinct().in_bulk()
    links = Tunnel.subnets.through.objects.filter(tunnel__in=mine, subnet__in=rows)
    found: dict[int, list[Any]] = defaultdict(list)
    for subnet, tunnel in links.order_by("tunnel").values_list("subnet", "tunnel"):
        found[subnet].append(mine[tunnel])
    return [found[row.pk] for row in rows]


register_type(
    DataType(
        "SoftLayer_Network_Subnet",
        {
            "id": column("pk"),
            "networkIdentifier": lambda reader, one: str(one.network.network_address),
            "cidr": column("network.prefixlen"),
            "netmask": lambda reader, one: str(one.network.netmask),
            "broadcastAddress": lambda reader, one: str(one.network.broadcast_address),
            "note": column("name"),
            "subnetType": lambda reader, one: TYPES.get(one.kind),
            "addressSpace": constant("PRIVATE"),
            "version": constant(4),
            "sortOrder": lambda reader, one: str(one.first),
            "isCustomerOwned": constant(False),
            "isCustomerRoutable": constant(False),
            # Numbers of this kind were decimals, which the old API wrote as text.
            "totalIpAddresses": lambda reader, one: str(one.network.num_addresses),
            "usableIpAddressCount": _usable,
        },
        {
            "account": Relation("SoftLayer_Account", leads("account"), many=False),
            "datacenter": Relation("SoftLayer_Location", leads("datacenter"), many=False),
            "ipAddresses": Relation("SoftLayer_Network_Subnet_IpAddress", all_addresses),
            "networkTunnelContexts": Relation("SoftLayer_Network_Tunnel_Module_Context", _contexts),
            # Machines and labels, of which the portal has none; `slcli subnet list` counts them.
            "hardware": Relation("SoftLayer_Hardware", nothing),
            "virtualGuests": Relation("SoftLayer_Virtual_Guest", nothing),
            "tagReferences": Relation("SoftLayer_Tag_Reference", nothing),
        },
    )
)
register_type(DataType("SoftLayer_Hardware", {}))
register_type(DataType("SoftLayer_Virtual_Guest", {}))
register_type(DataType("SoftLayer_Tag_Reference", {}))
