"""SoftLayer_Network_Subnet: the subnets at this end, which are read only."""

from __future__ import annotations

from vpnportal.api import finding
from vpnportal.api.calls import Caller
from vpnportal.api.methods import service
from vpnportal.api.shapes import SHAPES
from vpnportal.models import Subnet

SHAPE = SHAPES["SoftLayer_Network_Subnet"]
visible = finding.finder(finding.subnets)

subnet = service(SHAPE.name)
subnet.relations(SHAPE, visible)


@subnet.method("getObject", find=visible, shape=SHAPE)
def get_object(caller: Caller, row: Subnet) -> Subnet:
    """One of the account's, or a service of the provider."""
    return row
