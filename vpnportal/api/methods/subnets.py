"""SoftLayer_Network_Subnet: the subnets at this end, which are read only."""

from __future__ import annotations

from vpnportal.api import lookup
from vpnportal.api.registry import service
from vpnportal.api.serializers import SHAPES

SHAPE = SHAPES["SoftLayer_Network_Subnet"]
visible = lookup.finder(lookup.subnets)

subnet = service(SHAPE.name)
subnet.getters(SHAPE, visible)
