"""What can be ordered: one package with one item at one price. The ids are the old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import constant

PACKAGE, ITEM, CATEGORY, PRICE = 0, 1092, 117, 51379
CATEGORY_CODE = "network_tunnel"
DESCRIPTION = "IPSEC - Standard"
FREE = "0"


def _one(reader: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    """There is one of everything, so nothing needs to be told apart."""
    return [PACKAGE for _ in objects]


def _a_list(reader: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
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
        {"items": Relation("SoftLayer_Product_Item", _a_list)},
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
            "itemCategory": Relation("SoftLayer_Product_Item_Category", _one, many=False),
            "categories": Relation("SoftLayer_Product_Item_Category", _a_list),
            "prices": Relation("SoftLayer_Product_Item_Price", _a_list),
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
            "categories": Relation("SoftLayer_Product_Item_Category", _a_list),
            "item": Relation("SoftLayer_Product_Item", _one, many=False),
        },
        nulls=frozenset(("locationGroupId",)),
    )
)
