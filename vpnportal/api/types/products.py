"""SoftLayer_Product types: one package with one item at one price, with the old service's ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import constant

PACKAGE, ITEM, CATEGORY, PRICE = 0, 1092, 117, 51379
CATEGORY_CODE = "network_tunnel"
DESCRIPTION = "IPSEC - Standard"
FREE = "0"


# All properties are constants, so the id of the package serves as the object of every type.
def _one_object(serialization: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    return [PACKAGE for _ in objects]


def _list_of_one(serialization: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    return [[PACKAGE] for _ in objects]


PACKAGES = register_type(
    DataType(
        "SoftLayer_Product_Package",
        {
            "id": constant(PACKAGE),
            "keyName": constant("ADDITIONAL_PRODUCTS"),
            "name": constant("Additional Products"),
            "description": constant("Additional Products"),
            "isActive": constant(1),
        },
        {"items": Relation("SoftLayer_Product_Item", _list_of_one)},
    )
)
register_type(
    DataType(
        "SoftLayer_Product_Item",
        {
            "id": constant(ITEM),
            "keyName": constant("IPSEC_STANDARD"),
            "description": constant(DESCRIPTION),
            "capacity": constant("0"),
        },
        {
            "itemCategory": Relation("SoftLayer_Product_Item_Category", _one_object, many=False),
            "categories": Relation("SoftLayer_Product_Item_Category", _list_of_one),
            "prices": Relation("SoftLayer_Product_Item_Price", _list_of_one),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Product_Item_Category",
        {
            "id": constant(CATEGORY),
            "categoryCode": constant(CATEGORY_CODE),
            "name": constant("Network Tunnel"),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Product_Item_Price",
        {
            "id": constant(PRICE),
            "itemId": constant(ITEM),
            "locationGroupId": constant(None),
            "recurringFee": constant(FREE),
            "setupFee": constant(FREE),
        },
        {
            "categories": Relation("SoftLayer_Product_Item_Category", _list_of_one),
            "item": Relation("SoftLayer_Product_Item", _one_object, many=False),
        },
        # slcli and Terraform take only a price whose locationGroupId is present and null.
        nulls=frozenset(("locationGroupId",)),
    )
)
