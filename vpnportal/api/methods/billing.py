"""SoftLayer_Billing_Item: cancellation of tunnels."""

from __future__ import annotations

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_is, flag
from vpnportal.api.calls import Caller
from vpnportal.api.faults import invalid_value
from vpnportal.api.registry import register_service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.models import Scope, Tunnel

BILLING_ITEM = DATA_TYPES["SoftLayer_Billing_Item"]
NO_BILLING_DATE = (
    "cancelImmediately: nothing is billed, so there is no next billing date to cancel at. Send "
    "true to cancel now."
)
find_visible = lookup.object_finder(lookup.visible_tunnels)
find_owned = lookup.object_finder(lookup.owned_tunnels)

service = register_service(BILLING_ITEM.name)
service.add_getters(BILLING_ITEM, find_visible)


@service.method(
    "cancelItem", find=find_owned, arguments=[as_is, as_is, as_is, as_is], scope=Scope.ORDER
)
def cancel_item(
    caller: Caller,
    tunnel: Tunnel,
    immediately: object,
    associated_items: object,
    reason: object,
    note: object,
) -> bool:
    """Delete the tunnel at once, as the old `cancelItem` did.

    The last three arguments are ignored: a tunnel has no associated items, and nothing is stored.
    Raises Fault if `immediately` is false.
    """
    if immediately is not None and not flag("cancelImmediately")(immediately):
        raise invalid_value(NO_BILLING_DATE)
    return cancel_service(caller, tunnel)


@service.method("cancelService", find=find_owned, scope=Scope.ORDER)
def cancel_service(caller: Caller, tunnel: Tunnel) -> bool:
    """Delete the tunnel at once."""
    services.cancel(tunnel, caller.user)
    return True
