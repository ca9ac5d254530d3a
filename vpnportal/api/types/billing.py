"""SoftLayer_Billing_Item and its order: nothing is billed, but clients order and cancel by them.

Each tunnel has one item, one order item and one order, and all three have the tunnel's id.
"""

from __future__ import annotations

from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.products import CATEGORY_CODE, DESCRIPTION, FREE
from vpnportal.api.types.properties import column, constant, itself, leads, moment


def _ordered(reader: SerializationContext, tunnel: Any) -> str | None:
    return moment(tunnel.ordered_at)


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
            "createDate": _ordered,
            "cycleStartDate": _ordered,
            "orderItemId": column("pk"),
            "recurringMonths": constant(1),
            "serviceProviderId": constant(1),
        },
        {
            "account": Relation("SoftLayer_Account", leads("account"), many=False),
            "orderItem": Relation("SoftLayer_Billing_Order_Item", itself, many=False),
        },
    )
)
register_type(
    DataType(
        "SoftLayer_Billing_Order_Item",
        SHARED,
        {
            "billingItem": Relation("SoftLayer_Billing_Item", itself, many=False),
            "order": Relation("SoftLayer_Billing_Order", itself, many=False),
        },
    )
)


def _items(reader: SerializationContext, tunnels: Any) -> Any:
    return [[one] for one in tunnels]


register_type(
    DataType(
        "SoftLayer_Billing_Order",
        {
            "id": column("pk"),
            "accountId": column("account_id"),
            "createDate": _ordered,
            "status": constant("APPROVED"),
        },
        {"items": Relation("SoftLayer_Billing_Order_Item", _items)},
    )
)
