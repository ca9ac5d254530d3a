"""SoftLayer_Network_Customer_Subnet: a remote subnet."""

from __future__ import annotations

from vpnportal.api.serializers import DataType, Relation, register_type
from vpnportal.api.types.addresses import all_addresses
from vpnportal.api.types.properties import column

CUSTOMER_SUBNET = register_type(
    DataType(
        "SoftLayer_Network_Customer_Subnet",
        {
            "id": column("pk"),
            "accountId": column("account_id"),
            "networkIdentifier": lambda serialization, row: str(row.network.network_address),
            "netmask": lambda serialization, row: str(row.network.netmask),
            "cidr": column("network.prefixlen"),
            "totalIpAddresses": column("network.num_addresses"),
        },
        {
            "ipAddresses": Relation("SoftLayer_Network_Customer_Subnet_IpAddress", all_addresses),
        },
    )
)
