"""The hosted side of a concentrator, for checks that an operator starts on its gateway."""

from __future__ import annotations

from django.conf import settings

from vpnportal.domain.planning.hosted_side import hosted_side
from vpnportal.models import Concentrator
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.target import load_target


def problem(concentrator: Concentrator) -> str:
    """Return why forged packets may enter the tunnels, or servers' packets may not, or "".

    Call it in the gateway's network namespace. Raises GatewayError if the gateway cannot be read.
    """
    desired = load_target(concentrator, None).desired
    driver = reconcile.driver_for(concentrator)
    _, observed = driver.observe(None, desired.connections, (), desired.hosted)
    if observed.links is None:
        return ""
    peers = {connection.as_loaded.ends[0] for connection in desired.connections.values()}
    return hosted_side(settings.HOSTED_INTERFACES, observed.links, peers).problem
