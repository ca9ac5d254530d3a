"""What only the concentrator itself can know: its own addresses, which no tunnel may claim."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from vpnportal.domain.addresses import AddressSet


def objection(claims: Iterable[str], gateway: AddressSet) -> str:
    """Why a gateway with these addresses must not carry a tunnel with these networks, or "".

    A translation to one of them would lead a server's packets to the gateway, and a remote network
    with one of them would lead the gateway's own packets away.
    """
    for network in claims:
        if taken := gateway.first_in(IPv4Network(network)):
            return f"{network} has {taken} in it, which is an address of the gateway itself"
    return ""
