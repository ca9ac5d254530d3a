"""One observation of a gateway with everything in it, for tests that need no overlap of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.fake_gateway import FakeGateway
from vpnportal.domain.gateway_config.desired import Connection
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.vici.session import NO_CONNECTIONS


def observe(
    driver: GatewayDriver | FakeGateway,
    scope: Scope | None = None,
    expected: Mapping[str, Connection] = NO_CONNECTIONS,
) -> Observed:
    """Return what a scope holds, with its IKE_SAs; by default all that is the portal's."""
    driver.start_observation(scope.connection if scope else None)
    read_ike_sas, observed = driver.observe(scope, expected)
    return replace(observed, ike_sas=read_ike_sas())
