"""Leftovers of a concentrator: the states and policies that a killed charon left in the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.kernel_ipsec import KernelIpsec, Peers
from vpnportal.domain.planning.leftovers import (
    Leftover,
    find_leftovers,
    peers_of,
    possible_peers,
    unknown_to_charon,
)
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.models import Concentrator, Revision, TunnelMark
from vpnportal.reconciler.target import Target

# Marks per query.
BATCH_SIZE = 500


def observe_kernel(scope: Scope | None, observed: Observed, driver: GatewayDriver) -> KernelIpsec:
    """Return the states and policies of a scope: of one tunnel, only the states."""
    if scope is None or observed.userland_esp:
        return observed.kernel
    return KernelIpsec(driver.leftovers.states_between(scope.peers))


def find(
    concentrator: Concentrator, target: Target, observed: Observed, driver: GatewayDriver
) -> tuple[Leftover, ...]:
    """Return the leftovers of a scope that must be removed now.

    The policies of one tunnel are looked for only beside an unknown state: a policy alone carries
    nothing, and waits for the next full converge.
    """
    unknown = unknown_to_charon(observed.kernel, observed.ike_sas)
    if not unknown:
        return ()
    if target.scope:
        # The kernel cannot select the policies of a tunnel.
        policies = KernelIpsec(policies=driver.leftovers.policies())
        policies = unknown_to_charon(policies, observed.ike_sas)
        unknown = replace(unknown, policies=policies.policies)
    owners = _owners(concentrator, target, unknown)
    seconds = driver.leftovers.charon_seconds()
    found = find_leftovers(unknown, owners, target.desired, seconds)
    return driver.leftovers.confirm(found) if found else ()


def find_without_charon(
    concentrator: Concentrator, target: Target, driver: GatewayDriver
) -> tuple[Leftover, ...]:
    """Return the leftovers of a scope that no desired tunnel needs, while charon does not run."""
    kernel = driver.leftovers.read()
    owners = _owners(concentrator, target, kernel)
    return find_leftovers(kernel, owners, target.desired, charon_seconds=0)


def _owners(
    concentrator: Concentrator, target: Target, unknown: KernelIpsec
) -> Mapping[Peers, str]:
    """Return the connections of the peers of the unknown states and policies.

    Only peers and marks count that a tunnel in scope has or had. The state of a tunnel whose
    revision cannot be decrypted is kept.
    """
    if target.scope:
        owners = dict.fromkeys(target.scope.peers, target.scope.connection)
    else:
        connections = target.desired.connections.values()
        owners = {peers_of(connection): connection.name for connection in connections}
        others = possible_peers(unknown) - owners.keys()
        owners |= _earlier_owners(concentrator, others)
    return {
        peers: name
        for peers, name in owners.items()
        if peers.mark and name not in target.unreadable
    }


def _earlier_owners(concentrator: Concentrator, candidates: Iterable[Peers]) -> dict[Peers, str]:
    """Return the connections of those candidates that are the peers of an earlier revision.

    A mark leads to its tunnel, and the tunnel to its revisions; both are found by index.
    """
    marks = sorted({peers.mark for peers in candidates if peers.mark > 0})
    owners: dict[Peers, str] = {}
    for start in range(0, len(marks), BATCH_SIZE):
        batch = marks[start : start + BATCH_SIZE]
        holders = TunnelMark.objects.filter(concentrator=concentrator, number__in=batch)
        revisions = Revision.objects.filter(
            concentrator=concentrator, tunnel__in=holders.values("tunnel"), mark__in=batch
        )
        columns = revisions.values_list("hosted_peer", "remote_peer", "mark", "tunnel_id")
        for hosted, remote, mark, tunnel_id in columns.order_by("number").iterator():
            owners[Peers(hosted, remote, mark)] = connection_of(tunnel_id)
    return owners
