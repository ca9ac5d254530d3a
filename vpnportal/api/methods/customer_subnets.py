"""SoftLayer_Network_Customer_Subnet: made before a tunnel protects it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import struct
from vpnportal.api.calls import Caller
from vpnportal.api.object_templates import network_of
from vpnportal.api.registry import service
from vpnportal.api.types.customer_subnets import CUSTOMER_SUBNET
from vpnportal.models import Subnet

visible = lookup.object_finder(lookup.customer_subnets)
editable = lookup.object_finder(lookup.editable_customer_subnets)

subnet = service(CUSTOMER_SUBNET.name)
subnet.getters(CUSTOMER_SUBNET, visible)


@subnet.method("createObject", takes=[struct], data_type=CUSTOMER_SUBNET)
def create_object(caller: Caller, template: Mapping[str, Any]) -> Subnet:
    """The account's subnet of this network; the same one again if there is one."""
    named = template.get("accountId")
    account = lookup.get_or_fault(
        lookup.editable_accounts(caller), caller.account.pk if named is None else named
    )
    return services.make_customer_subnet(account, network_of(template))


@subnet.method("deleteObject", find=editable)
def delete_object(caller: Caller, row: Subnet) -> bool:
    """Only what no tunnel protects."""
    services.delete_customer_subnet(row)
    return True
