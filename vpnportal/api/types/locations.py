"""SoftLayer_Location and SoftLayer_Location_Datacenter: where a tunnel can be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, constant, nothing
from vpnportal.models import Datacenter

ACTIVE = 2


def keyname(place: Datacenter) -> str:
    """What the old API called the region of a data center: HOUSTON02 for Houston 2."""
    words = re.sub(r"[^A-Z0-9]", "", place.long_name.upper())
    return re.sub(r"(?<!\d)(\d)$", r"0\1", words)


def _regions(reader: SerializationContext, places: Sequence[Datacenter]) -> Sequence[Any]:
    return [[one] for one in places]


LOCALS = {
    "id": column("pk"),
    "name": column("name"),
    "longName": column("long_name"),
    "statusId": constant(ACTIVE),
}
RELATIONS = {
    "regions": Relation("SoftLayer_Location_Region", _regions),
    # One price is everybody's, so there are no groups of locations with their own.
    "priceGroups": Relation("SoftLayer_Location_Group_Pricing", nothing),
}
register_type(DataType("SoftLayer_Location", LOCALS, RELATIONS))
register_type(DataType("SoftLayer_Location_Datacenter", LOCALS, RELATIONS))
register_type(
    DataType(
        "SoftLayer_Location_Region",
        {"keyname": lambda reader, one: keyname(one), "description": column("long_name")},
    )
)
register_type(DataType("SoftLayer_Location_Group_Pricing", {"id": column("pk")}))
