"""SoftLayer_Network_Subnet: the subnets at this end, which are read only."""

from __future__ import annotations

from vpnportal.api import lookup
from vpnportal.api.registry import service
from vpnportal.api.serializers import DATA_TYPES

SHAPE = DATA_TYPES["SoftLayer_Network_Subnet"]
visible = lookup.object_finder(lookup.subnets)

subnet = service(SHAPE.name)
subnet.getters(SHAPE, visible)
