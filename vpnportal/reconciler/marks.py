"""Marks that tunnels released: free for another tunnel once nothing carries them any more."""

from __future__ import annotations

from datetime import datetime

from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.planning.observed import Observed
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.models import Concentrator, TunnelMark


def free_released(
    concentrator: Concentrator, driver: GatewayDriver, observed: Observed, began_at: datetime
) -> None:
    """Free the released marks that neither conntrack nor the maps of a full observation have.

    `began_at` is the time before the observation.
    """
    released = TunnelMark.objects.filter(concentrator=concentrator).exclude(released_at=None)
    if released.exists():
        in_use = {*driver.zones_in_use(), *observed.elements.keys(NatMap.ZONE_OF)}
        TunnelMark.objects.free(concentrator, in_use, began_at)
