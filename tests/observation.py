"""A complete observation of a gateway, for tests that do not overlap requests."""

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
    """Return the observed state with its IKE_SAs; without a scope, of the whole gateway."""
    driver.start_observation(scope.connection if scope else None)
    read_ike_sas, observed = driver.observe(scope, expected)
    return replace(observed, ike_sas=read_ike_sas())
