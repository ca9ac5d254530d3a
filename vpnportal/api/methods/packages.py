"""SoftLayer_Product_Package: the one package that a tunnel is ordered from."""

from __future__ import annotations

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.faults import not_found
from vpnportal.api.registry import service
from vpnportal.api.types.products import PACKAGE, PACKAGES


def _find(caller: Caller, init: object) -> int:
    if lookup.number(init) != PACKAGE:
        raise not_found(str(init)[: lookup.TOLD])
    return PACKAGE


package = service(PACKAGES.name)
package.getters(PACKAGES, _find)


@package.method("getAllObjects", data_type=PACKAGES, many=True)
def get_all_objects(caller: Caller) -> list[int]:
    """All there is to order."""
    return [PACKAGE]
