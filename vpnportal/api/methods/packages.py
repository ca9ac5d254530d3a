"""SoftLayer_Product_Package: the only package, which contains the tunnel."""

from __future__ import annotations

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.faults import object_not_found
from vpnportal.api.registry import register_service
from vpnportal.api.types.products import PACKAGE, PACKAGES
from vpnportal.models import Scope


def _find_package(caller: Caller, object_id: object) -> int:
    if lookup.parse_number(object_id) != PACKAGE:
        raise object_not_found(str(object_id)[: lookup.ECHOED_CHARACTERS])
    return PACKAGE


service = register_service(PACKAGES.name)
service.add_getters(PACKAGES, _find_package)


@service.method("getAllObjects", data_type=PACKAGES, many=True, scope=Scope.READ)
def get_all_objects(caller: Caller) -> list[int]:
    """Return the id of the only product package that the API offers."""
    return [PACKAGE]
