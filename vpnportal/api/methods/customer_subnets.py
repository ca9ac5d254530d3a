"""SoftLayer_Network_Customer_Subnet: remote subnets, which exist before a tunnel has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import struct
from vpnportal.api.calls import Caller
from vpnportal.api.object_templates import customer_network
from vpnportal.api.registry import register_service
from vpnportal.api.types.customer_subnets import CUSTOMER_SUBNET
from vpnportal.models import Scope, Subnet

find_visible = lookup.object_finder(lookup.customer_subnets)
find_editable = lookup.object_finder(lookup.editable_customer_subnets)

service = register_service(CUSTOMER_SUBNET.name)
service.add_getters(CUSTOMER_SUBNET, find_visible)


@service.method("createObject", arguments=[struct], data_type=CUSTOMER_SUBNET, scope=Scope.EDIT)
def create_object(caller: Caller, template: Mapping[str, Any]) -> Subnet:
    """Return the account's subnet of this network, and create it if there is none."""
    account_id = template.get("accountId")
    account = lookup.get_or_fault(
        lookup.editable_accounts(caller), caller.account.pk if account_id is None else account_id
    )
    return services.make_customer_subnet(account, customer_network(template))


@service.method("deleteObject", find=find_editable, scope=Scope.EDIT)
def delete_object(caller: Caller, subnet: Subnet) -> bool:
    """Delete a subnet. Raises Refused if a tunnel has it."""
    services.delete_customer_subnet(subnet)
    return True
