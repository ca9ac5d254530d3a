"""Orders and cancellations of the legacy API, as slcli and Terraform send them."""

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
def datacenter(concentrator) -> Datacenter:
    """Return a data center with addresses for two tunnels."""
    for kind, network in (("hosted-peer", "203.0.113.64/30"), ("static-nat", "10.1.248.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator.datacenter


def flat(location: object, **changes: object) -> dict[str, object]:
    """Return an order container as Terraform sends it."""
    return {
        "complexType": CONTAINER,
        "location": str(location),
        "packageId": 0,
        "prices": [{"id": 51379}],
        "quantity": 1,
        **changes,
    }


def wrapped(location: object, **changes: object) -> dict[str, object]:
    """Return an order container as slcli sends it."""
    changes = {"location": location, "useHourlyPricing": False, **changes}
    return {"orderContainers": [{**flat(location), **changes}]}


def test_slcli_finds_the_package_the_price_and_the_data_center(datacenter, program):
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
    for filter in (
        {"name": {"operation": "hou02"}},
        {"regions": {"keyname": {"operation": "HOUSTON02"}}},
    ):
        (location,) = program.call(
            "SoftLayer_Location.getDatacenters",
            mask="mask[id,name,regions[keyname]]",
            filter=filter,
        )
        assert location == {
            "id": datacenter.pk,
            "name": "hou02",
            "regions": [{"keyname": "HOUSTON02"}],
        }


def test_terraform_finds_the_price_and_the_data_center(datacenter, program):
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
    assert program.call(
        "SoftLayer_Location_Datacenter.getObject", on=str(datacenter.pk), mask="id"
    ) == {"id": datacenter.pk}
    assert program.call("SoftLayer_Location.getPriceGroups", on=datacenter.pk) == []


@pytest.mark.parametrize("container", [flat, wrapped])
def test_an_order_creates_one_context_with_the_order_id_of_the_receipt(
    datacenter, owners_program, container
):
    assert owners_program.call(f"{ORDER}.verifyOrder", container(datacenter.pk))["quantity"] == 1
    assert not Tunnel.objects.exists()

    receipt = owners_program.call(f"{ORDER}.placeOrder", container(datacenter.pk), False)

    assert receipt["placedOrder"]["items"][0]["description"] == "IPSEC - Standard"
    by_order = {"order": {"id": {"operation": str(receipt["orderId"])}}}
    (context,) = owners_program.call(
        LIST,
        filter={"networkTunnelContexts": {"billingItem": {"orderItem": by_order}}},
        mask="mask[billingItem.orderItem.order.id,serviceSubnets,staticRouteSubnets]",
    )
    assert (context["name"], context["internalPeerIpAddress"]) == ("ipsec001", "203.0.113.65")
    assert (context["phaseOneKeylife"], context["phaseTwoKeylife"]) == (14400, 3600)
    assert context["createDate"] == receipt["orderDate"]
    assert [subnet["cidr"] for subnet in context["staticRouteSubnets"]] == [30]
    assert "presharedKey" not in context
    assert "customerPeerIpAddress" not in context


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
def test_an_invalid_order_is_refused_and_creates_no_tunnel(
    datacenter, owners_program, container, code
):
    for name in ("verifyOrder", "placeOrder"):
        fault = owners_program.fault(f"{ORDER}.{name}", container)
        assert (fault.code, fault.status) == (f"SoftLayer_Exception_{code}", 400)
    assert not Tunnel.objects.exists()


def test_a_quote_is_refused(datacenter, owners_program):
    assert owners_program.fault(f"{ORDER}.placeOrder", flat("hou02"), True).status == 400
    assert not Tunnel.objects.exists()


def test_an_order_without_free_addresses_is_refused(concentrator, owners_program):
    for name in ("verifyOrder", "placeOrder"):
        fault = owners_program.fault(f"{ORDER}.{name}", flat("hou02"))
        assert fault.text.startswith("No hosted peer address is left in Houston 2.")


def test_only_owners_order(datacenter, program):
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


def test_cancelling_at_a_later_date_is_refused_and_cancels_nothing(ready, owners_program):
    for value in (False, "0", "later"):
        fault = owners_program.fault(f"{BILLING}.cancelItem", value, on=ready.pk)
        assert fault.text.startswith("cancelImmediately: ")
    assert not Tunnel.objects.get(pk=ready.pk).cancelled_at


def test_only_owners_cancel(ready, program):
    for name in ("cancelItem", "cancelService"):
        assert program.fault(f"{BILLING}.{name}", on=ready.pk).status == 404
    assert not Tunnel.objects.get(pk=ready.pk).cancelled_at


def test_each_ordered_tunnel_has_its_own_static_nat_subnet(datacenter, owners_program):
    for _ in range(2):
        owners_program.call(f"{ORDER}.placeOrder", wrapped("hou02"))

    networks = Subnet.objects.filter(kind=Subnet.Kind.STATIC_NAT).values_list("network", flat=True)
    assert [str(network) for network in networks.order_by("pk")] == [
        "10.1.248.0/30",
        "10.1.248.4/30",
    ]
