"""What only the concentrator itself can know: its own addresses, which no tunnel may claim."""

from __future__ import annotations

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.spec import TunnelSpec


def objection(spec: TunnelSpec, gateway: AddressSet) -> str:
    """Why a gateway with these addresses must not carry the tunnel, or "".

    A translation to one of them would lead a server's packets to the gateway, and a remote network
    with one of them would lead the gateway's own packets away.
    """
    for network in (*spec.remote_subnets, *spec.static_nat_subnets):
        if taken := gateway.first_in(network):
            return f"{network} has {taken} in it, which is an address of the gateway itself"
    return ""
