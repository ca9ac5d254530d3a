"""Orders and cancellations through the retired API, as slcli and Terraform send them."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from tests.api_client import CONTAINER
from vpnportal.models import AddressPool, Datacenter, Subnet, Tunnel

pytestmark = pytest.mark.django_db
ORDER, PACKAGE = "SoftLayer_Product_Order", "SoftLayer_Product_Package"
LIST = "SoftLayer_Account.getNetworkTunnelContexts"
BILLING = "SoftLayer_Billing_Item"


@pytest.fixture
def place(concentrator) -> Datacenter:
    """A data center where two tunnels can be ordered."""
    for kind, network in (("hosted-peer", "203.0.113.64/30"), ("static-nat", "10.1.248.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator.datacenter


def flat(place: object, **changes: object) -> dict[str, object]:
    """As Terraform sends it."""
    return {
        "complexType": CONTAINER,
        "location": str(place),
        "packageId": 0,
        "prices": [{"id": 51379}],
        "quantity": 1,
        **changes,
    }


def wrapped(place: object, **changes: object) -> dict[str, object]:
    """As slcli sends it."""
    changes = {"useHourlyPricing": False, **changes}
    return {"orderContainers": [{**flat(place, location=place), **changes}]}


def test_slcli_finds_what_to_order_and_where(place, program):
    items_mask = (
        "mask[id, description, capacity, itemCategory, keyName, prices[categories], "
        "softwareDescription[id,referenceCode,longDescription]]"
    )

    (package,) = program.call(
        f"{PACKAGE}.getAllObjects",
        mask="mask[id]",
        filter={"keyName": {"operation": "ADDITIONAL_PRODUCTS"}},
    )
    (item,) = program.call(f"{PACKAGE}.getItems", on=package["id"], mask=items_mask)
    (price,) = item["prices"]

    assert package == {"id": 0}
    assert item["keyName"] == "IPSEC_STANDARD"
    assert item["itemCategory"]["categoryCode"] == "network_tunnel"
    assert (price["id"], price["locationGroupId"]) == (51379, None)
    for asked in ({"name": "hou02"}, {"regions.keyname": "HOUSTON02"}):
        ((path, value),) = asked.items()
        wanted = {"operation": value}
        for name in reversed(path.split(".")):
            wanted = {name: wanted}
        (found,) = program.call(
            "SoftLayer_Location.getDatacenters",
            mask="mask[id,name,regions[keyname]]",
            filter=wanted,
        )
        assert found == {"id": place.pk, "name": "hou02", "regions": [{"keyname": "HOUSTON02"}]}


def test_terraform_finds_what_to_order(place, program):
    (item,) = program.call(
        f"{PACKAGE}.getItems",
        on="0",
        mask="mask[description,prices.locationGroupId,prices.id]",
        filter={"items": {"description": {"operation": "IPSEC - Standard"}}},
    )

    assert item == {
        "description": "IPSEC - Standard",
        "prices": [{"id": 51379, "locationGroupId": None}],
    }
    assert program.call("SoftLayer_Location_Datacenter.getObject", on=str(place.pk), mask="id") == {
        "id": place.pk
    }
    assert program.call("SoftLayer_Location.getPriceGroups", on=place.pk) == []


@pytest.mark.parametrize("container", [flat, wrapped])
def test_an_order_makes_one_context_that_its_receipt_leads_to(place, owners_program, container):
    assert owners_program.call(f"{ORDER}.verifyOrder", container(place.pk))["quantity"] == 1
    assert not Tunnel.objects.exists()

    receipt = owners_program.call(f"{ORDER}.placeOrder", container(place.pk), False)

    assert receipt["placedOrder"]["items"][0]["description"] == "IPSEC - Standard"
    by_order = {"order": {"id": {"operation": str(receipt["orderId"])}}}
    (shown,) = owners_program.call(
        LIST,
        filter={"networkTunnelContexts": {"billingItem": {"orderItem": by_order}}},
        mask="mask[billingItem.orderItem.order.id,serviceSubnets,staticRouteSubnets]",
    )
    assert (shown["name"], shown["internalPeerIpAddress"]) == ("ipsec001", "203.0.113.65")
    assert (shown["phaseOneKeylife"], shown["phaseTwoKeylife"]) == (14400, 3600)
    assert shown["createDate"] == receipt["orderDate"]
    assert [one["cidr"] for one in shown["staticRouteSubnets"]] == [30]
    assert "presharedKey" not in shown
    assert "customerPeerIpAddress" not in shown


@pytest.mark.parametrize(
    ("container", "code"),
    [
        (flat(4711), "Order_InvalidLocation"),
        (flat(None), "Order_InvalidLocation"),
        (flat("hou02", complexType="SoftLayer_Container_Product_Order"), "Order_InvalidData"),
        (flat("hou02", quantity=2), "Order_InvalidData"),
        (flat("hou02", packageId=46), "Order_InvalidData"),
        (flat("hou02", prices=[{"id": 0}]), "Order_InvalidData"),
        (flat("hou02", prices=None), "Order_InvalidData"),
        (flat("hou02", prices=["x"]), "InvalidValue"),
        ({"orderContainers": []}, "Order_InvalidData"),
        ({"orderContainers": [flat("hou02"), flat("hou02")]}, "Order_InvalidData"),
        ("text", "InvalidValue"),
        (None, "InvalidValue"),
    ],
)
def test_what_is_no_order_is_told_and_nothing_is_ordered(place, owners_program, container, code):
    for name in ("verifyOrder", "placeOrder"):
        fault = owners_program.fault(f"{ORDER}.{name}", container)
        assert (fault.code, fault.status) == (f"SoftLayer_Exception_{code}", 400)
    assert not Tunnel.objects.exists()


def test_a_quote_is_refused(place, owners_program):
    assert owners_program.fault(f"{ORDER}.placeOrder", flat("hou02"), True).status == 400
    assert not Tunnel.objects.exists()


def test_where_nothing_is_left_an_order_says_so(concentrator, owners_program):
    for name in ("verifyOrder", "placeOrder"):
        fault = owners_program.fault(f"{ORDER}.{name}", flat("hou02"))
        assert fault.text.startswith("No hosted peer address is left in Houston 2.")


def test_only_owners_order(place, program):
    for name in ("verifyOrder", "placeOrder"):
        fault = program.fault(f"{ORDER}.{name}", flat("hou02"))
        assert (fault.code, fault.status) == ("SoftLayer_Exception_PermissionDenied", 403)
    assert not Tunnel.objects.exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cancelItem", (True, False, None)),
        ("cancelItem", (True, True, "No longer needed", "a note")),
        ("cancelItem", ("true",)),
        ("cancelItem", ()),
        ("cancelService", ()),
    ],
)
def test_an_owner_cancels_by_the_billing_item(ready, owners_program, name, arguments):
    item = owners_program.call("getBillingItem", on=ready.pk, mask="mask[id]")

    assert owners_program.call(f"{BILLING}.{name}", *arguments, on=item["id"]) is True

    assert Tunnel.objects.get(pk=ready.pk).cancelled_at
    assert owners_program.call(LIST) == []
    assert owners_program.fault("getObject", on=ready.pk).status == 404
    assert owners_program.fault(f"{BILLING}.{name}", *arguments, on=item["id"]).status == 404


def test_who_asks_to_cancel_later_is_refused_instead_of_cancelled_now(ready, owners_program):
    for value in (False, "0", "later"):
        fault = owners_program.fault(f"{BILLING}.cancelItem", value, on=ready.pk)
        assert fault.text.startswith("cancelImmediately: ")
    assert not Tunnel.objects.get(pk=ready.pk).cancelled_at


def test_only_owners_cancel(ready, program):
    for name in ("cancelItem", "cancelService"):
        assert program.fault(f"{BILLING}.{name}", on=ready.pk).status == 404
    assert not Tunnel.objects.get(pk=ready.pk).cancelled_at


def test_an_ordered_tunnel_has_its_own_static_nat_subnet(place, owners_program):
    for _ in range(2):
        owners_program.call(f"{ORDER}.placeOrder", wrapped("hou02"))

    blocks = Subnet.objects.filter(kind=Subnet.Kind.STATIC_NAT).values_list("network", flat=True)
    assert [str(one) for one in blocks.order_by("pk")] == ["10.1.248.0/30", "10.1.248.4/30"]
