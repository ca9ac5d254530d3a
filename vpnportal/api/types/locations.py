"""SoftLayer_Location and SoftLayer_Location_Datacenter: the data centers of the portal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, constant, empty_lists
from vpnportal.models import Datacenter

ACTIVE = 2


def region_keyname(datacenter: Datacenter) -> str:
    """Return the keyname of a data center's region, such as HOUSTON02 for Houston 2."""
    letters_and_digits = re.sub(r"[^A-Z0-9]", "", datacenter.long_name.upper())
    return re.sub(r"(?<!\d)(\d)$", r"0\1", letters_and_digits)


def _regions(
    serialization: SerializationContext, datacenters: Sequence[Datacenter]
) -> Sequence[Any]:
    return [[datacenter] for datacenter in datacenters]


LOCALS = {
    "id": column("pk"),
    "name": column("name"),
    "longName": column("long_name"),
    "statusId": constant(ACTIVE),
}
RELATIONS = {
    "regions": Relation("SoftLayer_Location_Region", _regions),
    # The one price applies at every location, so no group of locations has prices of its own.
    "priceGroups": Relation("SoftLayer_Location_Group_Pricing", empty_lists),
}
register_type(DataType("SoftLayer_Location", LOCALS, RELATIONS))
register_type(DataType("SoftLayer_Location_Datacenter", LOCALS, RELATIONS))
register_type(
    DataType(
        "SoftLayer_Location_Region",
        {
            "keyname": lambda serialization, datacenter: region_keyname(datacenter),
            "description": column("long_name"),
        },
    )
)
register_type(DataType("SoftLayer_Location_Group_Pricing", {"id": column("pk")}))
