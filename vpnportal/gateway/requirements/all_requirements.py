"""The check of all requirements of a gateway, in the network namespace of this process."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from vpnportal.gateway.requirements import ipsec, netfilter, routing, sysctls
from vpnportal.gateway.requirements.findings import Finding


def check(vici_socket: str, hosted_interfaces: Collection[str]) -> Iterator[Finding]:
    """Yield the finding of each requirement that the gateway's data plane has.

    `hosted_interfaces` are the operator's names of the interfaces of the hosted side.
    """
    charon = ipsec.Charon.read(vici_socket)
    yield ipsec.charon_answers(charon, vici_socket)
    yield ipsec.charon_user(charon)
    yield ipsec.esp(charon)
    yield sysctls.forwarding()
    yield sysctls.reverse_path_filter()
    yield sysctls.redirects()
    yield sysctls.path_mtu_discovery()
    yield sysctls.conntrack_size()
    yield sysctls.conntrack_timeouts()
    if not charon.userland_esp:
        yield sysctls.marks_of_answers()
        yield sysctls.encryption_enabled()
        yield sysctls.reserved_spis()
        yield ipsec.equal_selectors(charon)
    yield netfilter.own_rules(charon.userland_esp)
    yield netfilter.other_rules()
    yield routing.separate_sides(charon.connections.values(), hosted_interfaces)
    yield ipsec.charon_routes(charon)
    if not charon.userland_esp:
        yield routing.route_into_tunnels(charon.connections.values())
        yield routing.refusing_routes(charon.connections.values())
