"""SoftLayer_Network_Subnet: subnets at the provider, read-only."""

from __future__ import annotations

from vpnportal.api import lookup
from vpnportal.api.registry import register_service
from vpnportal.api.serializers import DATA_TYPES

SUBNET = DATA_TYPES["SoftLayer_Network_Subnet"]

service = register_service(SUBNET.name)
service.add_getters(SUBNET, lookup.object_finder(lookup.provider_subnets))
