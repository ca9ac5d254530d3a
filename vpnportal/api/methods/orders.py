"""SoftLayer_Product_Order: order a tunnel, or ask whether it could be ordered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_it_is, flag, struct
from vpnportal.api.calls import Caller
from vpnportal.api.faults import Fault, public_fault
from vpnportal.api.registry import service
from vpnportal.api.types.locations import keyname
from vpnportal.api.types.products import DESCRIPTION, ITEM, PACKAGE, PRICE
from vpnportal.api.types.properties import moment
from vpnportal.models import Account, Datacenter
from vpnportal.services.orders import locations

CONTAINER = "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec"
ORDER = "SoftLayer_Exception_Order"
NOT_AN_OWNER = "Only owners of the account order tunnels."

orders = service("SoftLayer_Product_Order")


@orders.method("verifyOrder", takes=[struct])
def verify_order(caller: Caller, container: Mapping[str, Any]) -> dict[str, Any]:
    """The container as it was understood; nothing is ordered."""
    _account(caller)
    place = _place(_tunnel(container))
    for location in locations():
        if location.datacenter == place and not location.free:
            raise public_fault(location.missing)
    return _understood(place)


@orders.method("placeOrder", takes=[struct, as_it_is])
def place_order(caller: Caller, container: Mapping[str, Any], quote: object) -> dict[str, Any]:
    """One tunnel, and a receipt whose number is the tunnel's id."""
    account, place = _account(caller), _place(_tunnel(container))
    if quote is not None and flag("saveAsQuote")(quote):
        raise _invalid("There are no quotes here: a tunnel costs nothing.")
    tunnel = services.order(account, place, caller.user)
    return {
        "orderId": tunnel.pk,
        "orderDate": moment(tunnel.ordered_at),
        "orderDetails": _understood(place),
        "placedOrder": {
            "id": tunnel.pk,
            "accountId": account.pk,
            "status": "APPROVED",
            "items": [{"id": tunnel.pk, "description": DESCRIPTION}],
        },
    }


def _account(caller: Caller) -> Account:
    owned = Account.objects.owned_by(caller.user).filter(pk=caller.account.pk).first()
    if owned is None:
        raise Fault("SoftLayer_Exception_PermissionDenied", NOT_AN_OWNER, 403)
    return owned


def _tunnel(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of the tunnel: slcli wraps it into a list, Terraform does not."""
    several = container.get("orderContainers")
    if several is not None:
        if not isinstance(several, list | tuple) or len(several) != 1:
            raise _invalid("orderContainers: order one tunnel at a time.")
        container = struct(several[0])
    if container.get("complexType") != CONTAINER:
        raise _invalid(f"complexType: only {CONTAINER} can be ordered.")
    if lookup.number(container.get("packageId", PACKAGE)) != PACKAGE:
        raise _invalid(f"packageId: a tunnel is in package {PACKAGE}.")
    if lookup.number(container.get("quantity", 1)) != 1:
        raise _invalid("quantity: order one tunnel at a time.")
    prices = container.get("prices")
    wanted = prices if isinstance(prices, list | tuple) else []
    if [lookup.number(struct(one).get("id")) for one in wanted] != [PRICE]:
        raise _invalid(f"prices: a tunnel has the price {PRICE}, which getItems tells.")
    return container


def _place(container: Mapping[str, Any]) -> Datacenter:
    """By its id, or by a name of it."""
    given = container.get("location")
    for place in Datacenter.objects.order_by("pk"):
        if lookup.number(given) == place.pk or given in (place.name, keyname(place)):
            return place
    raise Fault(f"{ORDER}_InvalidLocation", "location: there is no such data center.", 400)


def _understood(place: Datacenter) -> dict[str, Any]:
    return {
        "complexType": CONTAINER,
        "location": str(place.pk),
        "packageId": PACKAGE,
        "prices": [{"id": PRICE, "item": {"id": ITEM, "description": DESCRIPTION}}],
        "quantity": 1,
    }


def _invalid(text: str) -> Fault:
    return Fault(f"{ORDER}_InvalidData", text, 400)
