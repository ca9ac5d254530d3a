"""Complete observations of a gateway, and converges by them, for tests without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.fake_gateway import FakeGateway
from tests.running_portal import wait_for
from vpnportal.domain.gateway_config.desired import Connection, Desired
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.steps import Step
from vpnportal.gateway.vici.session import NO_CONNECTIONS


def observe(
    driver: GatewayDriver | FakeGateway,
    scope: Scope | None = None,
    expected: Mapping[str, Connection] = NO_CONNECTIONS,
) -> Observed:
    """Return the observed state with its IKE_SAs; without a scope, of the whole gateway."""
    driver.start_observation(scope.connection if scope else None)
    read_ike_sas, observed = driver.observe(scope, expected)
    return replace(observed, ike_sas=read_ike_sas())


def converge(gateway: GatewayDriver, desired: Desired, seconds: float) -> None:
    """Apply plans until all tunnels are up and nothing is left to do, as the worker does.

    Raises AssertionError if that takes longer than `seconds`.
    """

    def done() -> bool:
        observed = observe(gateway, None, desired.connections)
        plan = make_plan(desired, observed)
        if plan.without_initiation():
            gateway.apply(plan.without_initiation(), observed.userland_esp, ignore)
        elif plan.initiate:
            gateway.initiate(plan.initiate, ignore)
        statuses = set(sa_status_by_tunnel(observed.connections, observed.ike_sas).values())
        return not plan and statuses == {SaStatus.UP}

    wait_for(done, seconds)


def ignore(step: Step) -> None:
    """Report the step to no log."""
