"""SoftLayer_Product_Order: order a tunnel, or verify an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_is, flag, struct
from vpnportal.api.calls import Caller
from vpnportal.api.faults import Fault, permission_denied, public_fault
from vpnportal.api.registry import register_service
from vpnportal.api.types.locations import region_keyname
from vpnportal.api.types.products import DESCRIPTION, ITEM, PACKAGE, PRICE
from vpnportal.api.types.properties import rfc3339
from vpnportal.models import Account, Datacenter, Scope
from vpnportal.services import locations

CONTAINER = "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec"

service = register_service("SoftLayer_Product_Order")


@service.method("verifyOrder", arguments=[struct], scope=Scope.READ)
def verify_order(caller: Caller, container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complete order container for the requested data center.

    Raises Fault if `placeOrder` would refuse the order.
    """
    account = _owned_account(caller)
    datacenter = _datacenter(_order(container))
    if text := services.order_refusal(account.pk):
        raise public_fault(text, 400)
    for location in locations():
        if location.datacenter == datacenter and not location.free:
            raise public_fault(location.missing)
    return _order_container(datacenter)


@service.method("placeOrder", arguments=[struct, as_is], scope=Scope.ORDER)
def place_order(
    caller: Caller, container: Mapping[str, Any], save_as_quote: object
) -> dict[str, Any]:
    """Order one tunnel and return the receipt; its orderId is the tunnel's id."""
    account, datacenter = _owned_account(caller), _datacenter(_order(container))
    if save_as_quote is not None and flag("saveAsQuote")(save_as_quote):
        raise _invalid_data("saveAsQuote: there are no quotes, because a tunnel costs nothing.")
    tunnel = services.order(account, datacenter, caller.user)
    return {
        "orderId": tunnel.pk,
        "orderDate": rfc3339(tunnel.ordered_at),
        "orderDetails": _order_container(datacenter),
        "placedOrder": {
            "id": tunnel.pk,
            "accountId": account.pk,
            "status": "APPROVED",
            "items": [{"id": tunnel.pk, "description": DESCRIPTION}],
        },
    }


def _owned_account(caller: Caller) -> Account:
    account = Account.objects.owned_by(caller.user).filter(pk=caller.account.pk).first()
    if account is None:
        raise permission_denied("Only owners of the account can order tunnels.")
    return account


def _order(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container of the single ordered tunnel. Raises Fault if it is invalid.

    `slcli` wraps the container in a list, `orderContainers`; Terraform does not.
    """
    orders = container.get("orderContainers")
    if orders is not None:
        if not isinstance(orders, list | tuple) or len(orders) != 1:
            raise _invalid_data("orderContainers: order one tunnel at a time.")
        container = struct(orders[0])
    if container.get("complexType") != CONTAINER:
        raise _invalid_data(f"complexType: only {CONTAINER} can be ordered.")
    if lookup.parse_number(container.get("packageId", PACKAGE)) != PACKAGE:
        raise _invalid_data(f"packageId: a tunnel is in package {PACKAGE}.")
    if lookup.parse_number(container.get("quantity", 1)) != 1:
        raise _invalid_data("quantity: order one tunnel at a time.")
    prices = container.get("prices")
    prices = prices if isinstance(prices, list | tuple) else []
    if [lookup.parse_number(struct(price).get("id")) for price in prices] != [PRICE]:
        raise _invalid_data(f"prices: send the price {PRICE}, which getItems returns.")
    return container


def _datacenter(order: Mapping[str, Any]) -> Datacenter:
    """Return the data center of an order: `location` is its id, name or region keyname."""
    location = order.get("location")
    for datacenter in Datacenter.objects.order_by("pk"):
        names = (datacenter.name, region_keyname(datacenter))
        if lookup.parse_number(location) == datacenter.pk or location in names:
            return datacenter
    text = "location: there is no such data center."
    raise Fault("SoftLayer_Exception_Order_InvalidLocation", text, 400)


def _order_container(datacenter: Datacenter) -> dict[str, Any]:
    return {
        "complexType": CONTAINER,
        "location": str(datacenter.pk),
        "packageId": PACKAGE,
        "prices": [{"id": PRICE, "item": {"id": ITEM, "description": DESCRIPTION}}],
        "quantity": 1,
    }


def _invalid_data(text: str) -> Fault:
    return Fault("SoftLayer_Exception_Order_InvalidData", text, 400)
