"""The plan of a full converge, for a look that changes nothing."""

from __future__ import annotations

from dataclasses import replace

from vpnportal.domain.planning.plan import Plan, make_plan
from vpnportal.models import Concentrator
from vpnportal.reconciler import leftovers, reconcile
from vpnportal.reconciler.internal_addresses import InternalAddresses
from vpnportal.reconciler.revision_cache import revisions as revision_cache
from vpnportal.reconciler.target import load_target


def preview_plan(concentrator: Concentrator) -> Plan:
    """Return the plan of a full converge, without its initiations.

    It is empty if charon and nftables hold all that is applied. Raises GatewayError if the gateway
    cannot be observed.
    """
    driver = reconcile.driver_for(concentrator)
    try:
        driver.start_observation(None)
        target = load_target(concentrator, None)
        read_ike_sas, observed = driver.observe(
            None, target.desired.connections, InternalAddresses(), target.desired.hosted
        )
        observed = replace(observed, ike_sas=read_ike_sas())
        plan = make_plan(target.desired, observed).excluding(target.unreadable, target.desired)
        found = leftovers.find(concentrator, target, observed, driver)
        return replace(plan, remove_leftovers=found).without_initiation()
    finally:
        revision_cache.drop_secrets()
