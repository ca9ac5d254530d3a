"""SoftLayer_Location and SoftLayer_Location_Datacenter: the same places under two names."""

from __future__ import annotations

from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.registry import service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.models import Datacenter


def _places(caller: Caller) -> QuerySet[Datacenter]:
    return Datacenter.objects.order_by("pk")


def _service(name: str) -> None:
    shape, find = DATA_TYPES[name], lookup.object_finder(_places)
    location = service(name)
    location.getters(shape, find)

    @location.method("getDatacenters", data_type=shape, many=True)
    def get_datacenters(caller: Caller) -> QuerySet[Datacenter]:
        return _places(caller)


_service("SoftLayer_Location")
_service("SoftLayer_Location_Datacenter")
