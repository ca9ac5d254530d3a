"""Leftovers: states and policies in the kernel that charon does not know.

A charon that was killed leaves the states and policies of its CHILD_SAs in the kernel, which goes
on carrying their traffic. Leftovers of a desired tunnel bridge the time until its new CHILD_SAs
carry. All others end at once (docs/decisions/030).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import product
from typing import NamedTuple, TypeAlias

from vpnportal.domain.gateway_config.desired import Connection, Desired
from vpnportal.domain.planning.kernel_ipsec import KernelIpsec, KernelPolicy, KernelState, Peers
from vpnportal.domain.planning.observed import ChildSa, IkeSa

# A desired tunnel keeps its leftover states for this long after the start of charon. With the time
# until the next full converge, that is less than a minute.
KEEP_SECONDS = 50.0

# A hosted and a remote network between two peers.
Path: TypeAlias = "tuple[Peers, str, str]"


class Leftover(NamedTuple):
    """A state or a policy to remove from the kernel, with the connection that it belonged to."""

    connection: str
    entry: KernelState | KernelPolicy


def peers_of(connection: Connection) -> Peers:
    """Return the peers and the mark of a connection."""
    hosted, remote = connection.as_loaded.ends[:2]
    return Peers(hosted, remote, connection.mark)


def unknown_to_charon(kernel: KernelIpsec, ike_sas: Iterable[IkeSa]) -> KernelIpsec:
    """Return the states and policies that no CHILD_SA of these IKE_SAs uses.

    charon lists the SPIs of a CHILD_SA as long as the kernel has its states. Read the kernel before
    charon's list: a state that is older than the list and not in it is not charon's.
    """
    spis: set[tuple[str, int]] = set()
    paths: set[Path] = set()
    for sa in ike_sas:
        for child in sa.children:
            if child.spi_in:
                spis.add((sa.local_host, child.spi_in))
                spis.add((sa.remote_host, child.spi_out))
                paths.update(_paths(sa, child))
    return KernelIpsec(
        tuple(state for state in kernel.states if (state.destination, state.spi) not in spis),
        tuple(
            policy for policy in kernel.policies if (policy.peers, *policy.networks) not in paths
        ),
    )


def possible_peers(kernel: KernelIpsec) -> frozenset[Peers]:
    """Return the peers of all states and policies; those of a state in both orders."""
    found = {policy.peers for policy in kernel.policies}
    for state in kernel.states:
        found.update(state.possible_peers)
    return frozenset(found)


def find_leftovers(
    unknown: KernelIpsec, owners: Mapping[Peers, str], desired: Desired, charon_seconds: float
) -> tuple[Leftover, ...]:
    """Return the leftovers to remove now, the states first.

    `unknown` is from `unknown_to_charon`. `owners` has the connection of each pair of peers that a
    tunnel of the portal has or had; all else belongs to other programs. `charon_seconds` is the
    time since the start of charon, 0 if it does not run.

    A policy of a desired child is never removed: charon replaces it when the child comes up, and
    might do so at this moment. Without its states it carries nothing.
    """
    desired_paths = frozenset(
        _desired_paths(desired, {policy.peers for policy in unknown.policies})
    )
    policies: list[Leftover] = []
    bridging: set[tuple[Peers, int]] = set()
    for policy in unknown.policies:
        peers = policy.peers
        if peers not in owners:
            continue
        if (peers, *policy.networks) in desired_paths:
            bridging.add((peers, policy.reqid))
        else:
            policies.append(Leftover(owners[peers], policy))
    keeps_states = charon_seconds < KEEP_SECONDS
    states = [
        Leftover(owners[ends], state)
        for state in unknown.states
        if (ends := state.peers_in(owners))
        and not (keeps_states and (ends, state.reqid) in bridging)
    ]
    return (*states, *policies)


def still_unknown(leftovers: Iterable[Leftover], ike_sas: Iterable[IkeSa]) -> tuple[Leftover, ...]:
    """Return the leftovers that a later list of all IKE_SAs does not show either."""
    found = tuple(leftovers)
    states = (entry for _, entry in found if isinstance(entry, KernelState))
    policies = (entry for _, entry in found if isinstance(entry, KernelPolicy))
    unknown = unknown_to_charon(KernelIpsec(tuple(states), tuple(policies)), ike_sas)
    entries = frozenset[KernelState | KernelPolicy]((*unknown.states, *unknown.policies))
    return tuple(item for item in found if item.entry in entries)


def _paths(sa: IkeSa, child: ChildSa) -> Iterator[Path]:
    peers = Peers(sa.local_host, sa.remote_host, child.mark)
    for local, remote in product(child.local_ts, child.remote_ts):
        # A selector with a protocol or port is 10.2.0.0/24[tcp/80].
        yield peers, local.partition("[")[0], remote.partition("[")[0]


def _desired_paths(desired: Desired, among: Container[Peers]) -> Iterator[Path]:
    for connection in desired.connections.values():
        if (peers := peers_of(connection)) in among:
            for child in connection.as_loaded.children:
                for local, remote in product(child.local_ts, child.remote_ts):
                    yield peers, local, remote
