"""SoftLayer_Location and SoftLayer_Location_Datacenter: data centers, equal in both services."""

from __future__ import annotations

from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.registry import register_service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.models import Datacenter, Scope


def _datacenters(caller: Caller) -> QuerySet[Datacenter]:
    return Datacenter.objects.order_by("pk")


def _register_location_service(name: str) -> None:
    data_type, find = DATA_TYPES[name], lookup.object_finder(_datacenters)
    service = register_service(name)
    service.add_getters(data_type, find)

    @service.method("getDatacenters", data_type=data_type, many=True, scope=Scope.READ)
    def get_datacenters(caller: Caller) -> QuerySet[Datacenter]:
        return _datacenters(caller)


_register_location_service("SoftLayer_Location")
_register_location_service("SoftLayer_Location_Datacenter")
