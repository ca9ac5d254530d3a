"""SoftLayer_Billing_Item: how clients cancel a tunnel."""

from __future__ import annotations

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_it_is, flag
from vpnportal.api.calls import Caller
from vpnportal.api.faults import invalid
from vpnportal.api.registry import service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.models import Tunnel

SHAPE = DATA_TYPES["SoftLayer_Billing_Item"]
LATER = (
    "cancelImmediately: nothing is billed here, so there is no next billing date to cancel at. "
    "Send true to cancel now."
)
visible = lookup.object_finder(lookup.visible)
owned = lookup.object_finder(lookup.owned)

item = service(SHAPE.name)
item.getters(SHAPE, visible)


@item.method("cancelItem", find=owned, takes=[as_it_is, as_it_is, as_it_is, as_it_is])
def cancel_item(
    caller: Caller,
    tunnel: Tunnel,
    immediately: object,
    associated: object,
    reason: object,
    note: object,
) -> bool:
    """Cancel now. The other arguments are of no use here: there is nothing else to cancel."""
    if immediately is not None and not flag("cancelImmediately")(immediately):
        raise invalid(LATER)
    return cancel_service(caller, tunnel)


@item.method("cancelService", find=owned)
def cancel_service(caller: Caller, tunnel: Tunnel) -> bool:
    """Cancel now."""
    services.cancel(tunnel, caller.user)
    return True
