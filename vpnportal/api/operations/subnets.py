"""SoftLayer_Network_Subnet: the subnets at this end, which are read only."""

from __future__ import annotations

from vpnportal.api import finding
from vpnportal.api.methods import service
from vpnportal.api.shapes import SHAPES

SHAPE = SHAPES["SoftLayer_Network_Subnet"]
visible = finding.finder(finding.subnets)

subnet = service(SHAPE.name)
subnet.getters(SHAPE, visible)
