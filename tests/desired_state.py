"""The desired state of specifications without revisions."""

from __future__ import annotations

from collections.abc import Iterable

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.tunnel.spec import TunnelSpec


def compile_specs(specs: Iterable[TunnelSpec], key: bytes) -> Desired:
    """Return the desired state of the specifications; `key` keys the fingerprints.

    The mark of a tunnel is its id.
    """
    return Desired.of(compile_tunnel(spec, key, spec.tunnel_id) for spec in specs)
