"""SoftLayer_Billing_Item, its order item and its order: clients order and cancel tunnels by them.

Nothing is billed. A tunnel has an item, an order item and an order, which share the tunnel's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.products import CATEGORY_CODE, DESCRIPTION, FREE
from vpnportal.api.types.properties import column, constant, foreign_key, rfc3339, same_row
from vpnportal.models import Tunnel


def _ordered_at(serialization: SerializationContext, tunnel: Tunnel) -> str | None:
    return rfc3339(tunnel.ordered_at)


def _items(serialization: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
    return [[tunnel] for tunnel in tunnels]


SHARED = {
    "id": column("pk"),
    "categoryCode": constant(CATEGORY_CODE),
    "description": constant(DESCRIPTION),
    "recurringFee": constant(FREE),
    "oneTimeFee": constant(FREE),
}
register_type(
    DataType(
        "SoftLayer_Billing_Item",
        {
            **SHARED,
            "allowCancellationFlag": constant(1),
            "createDate": _ordered_at,
            "cycleStartDate": _ordered_at,
            "orderItemId": column("pk"),
            "recurringMonths": constant(1),
            "serviceProviderId": constant(1),
        },
        {
            "account": Relation("SoftLayer_Account", foreign_key("account"), many=False),
            "orderItem": Relation("SoftLayer_Billing_Order_Item", same_row, many=False),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Billing_Order_Item",
        SHARED,
        {
            "billingItem": Relation("SoftLayer_Billing_Item", same_row, many=False),
            "order": Relation("SoftLayer_Billing_Order", same_row, many=False),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Billing_Order",
        {
            "id": column("pk"),
            "accountId": column("account_id"),
            "createDate": _ordered_at,
            "status": constant("APPROVED"),
        },
        {"items": Relation("SoftLayer_Billing_Order_Item", _items)},
    )
)
