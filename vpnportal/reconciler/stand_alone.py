"""The converge of a gateway that cannot reach the database: it restores what is missing.

A tunnel that was applied meanwhile is in the database only. So a stored tunnel never replaces or
removes anything that charon or the kernel holds: it may be older.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from django.conf import settings

from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.plan import Plan, make_plan
from vpnportal.gateway import GatewayError
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.steps import Step
from vpnportal.reconciler.local_target import local_target

log = logging.getLogger(__name__)

# One changes the gateway, the second one finds it as desired and initiates.
MAX_OBSERVATIONS = 5


def restore_missing(concentrator: str, driver: GatewayDriver) -> None:
    """Load the stored tunnels that charon or the rules lack, and initiate them.

    Raises GatewayError if the gateway cannot be observed or changed.
    """
    desired = Desired.of(local_target(concentrator).tunnels(), settings.HOSTED_INTERFACES)
    if not desired.connections:
        return
    for _ in range(MAX_OBSERVATIONS):
        observed = _observe(driver, desired)
        plan = missing_only(make_plan(desired, observed), observed)
        if not plan.without_initiation():
            driver.initiate(plan.initiate, _log)
            return
        driver.apply(plan.without_initiation(), observed.userland_esp, _log)
    raise GatewayError("Its state does not stay as configured: another program changes it.")


def missing_only(plan: Plan, observed: Observed) -> Plan:
    """Return the steps of a plan that add what the gateway lacks, and replace or remove nothing."""
    loaded = observed.connections.keys()
    children = {child.name for item in observed.connections.values() for child in item.children}
    occupied = observed.elements.under(plan.add_elements)
    return Plan(
        write_rules=plan.write_rules,
        remove_interfaces=plan.remove_interfaces,
        add_interfaces=plan.add_interfaces,
        tunnel_route_over=plan.tunnel_route_over,
        add_addresses=plan.add_addresses,
        load_secrets=tuple(item for item in plan.load_secrets if item.connection not in loaded),
        load_connections=tuple(item for item in plan.load_connections if item.name not in loaded),
        add_elements=plan.add_elements - plan.add_elements.under(occupied),
        add_routes=plan.add_routes,
        initiate=tuple(start for start in plan.initiate if start.child in children),
    )


def _observe(driver: GatewayDriver, desired: Desired) -> Observed:
    driver.start_observation(None)
    read_ike_sas, observed = driver.observe(None, desired.connections, (), desired.hosted)
    return replace(observed, ike_sas=read_ike_sas())


def _log(step: Step) -> None:
    log.info("Without the database: %s %s", step.connection, step.text)
