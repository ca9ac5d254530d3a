"""Interruption by an apply, derived from the plan that the apply would make.

The applied specification is taken as running. The plan then shows which SAs end before their
successors carry traffic. `tests/system/test_interruption.py` measures how long that takes in the
laboratory, where both peers are the same machine: 0.04 to 0.4 s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import TypeAlias

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel, Desired, LoadedChild
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.planning.observed import ChildSa, IkeSa, Observed
from vpnportal.domain.planning.plan import Plan, make_plan
from vpnportal.domain.tunnel.spec import TunnelSpec

# A hosted and a remote network, as text.
Pair: TypeAlias = "tuple[str, str]"

# Pairs or addresses that a text names.
MAX_NAMED = 4
# The time until an SA is negotiated again.
DURATION = "for less than 1 second if the peer is ready"


class Extent(IntEnum):
    """Traffic that an interruption affects: none, some connections, some subnet pairs, or all."""

    NOTHING = 0
    FLOWS = 1
    PAIRS = 2
    TUNNEL = 3


@dataclass(frozen=True, slots=True)
class Interruption:
    """The extent of an interruption and its description, such as "Interrupts the tunnel for …"."""

    extent: Extent
    text: str

    @property
    def sentence(self) -> str:
        """The description in the summary of all changes of a tunnel."""
        return NOT_RUNNING_TEXT if self is NOT_RUNNING else self.text


# The review has up to hundreds of changes: only their summary says that the tunnel does not run.
NOT_RUNNING_TEXT = "No interruption (tunnel is not running)"
NOT_RUNNING = Interruption(Extent.NOTHING, "No interruption")
NO_PEER = Interruption(Extent.TUNNEL, "Ends the tunnel (no Remote Peer Address)")
UNTRANSLATED = Interruption(Extent.FLOWS, "Ends connections without a translation")
NO_NEW_CHILDREN = Interruption(Extent.NOTHING, "No interruption")
MAKE_BEFORE_BREAK = Interruption(Extent.NOTHING, "No interruption (make-before-break)")


def interruption(before: TunnelSpec | None, after: TunnelSpec, key: bytes) -> Interruption:
    """Return the interruption by an apply of `after` to a tunnel that runs with `before`.

    `before` is None if the tunnel does not run. `key` is the HMAC key of the
    fingerprints in the names of CHILD_SAs.
    """
    if before is None:
        return NOT_RUNNING
    if after.remote_peer is None:
        return NO_PEER
    if before.hosted_peer != after.hosted_peer:
        # The old concentrator removes the tunnel after the new one has loaded it.
        text = f"Interrupts the tunnel until the peer uses Hosted Peer Address {after.hosted_peer}"
        return Interruption(Extent.TUNNEL, text)
    running, wanted = compile_tunnel(before, key), compile_tunnel(after, key)
    plan = make_plan(Desired.of([wanted]), _observed_as_up(running))
    if by_sas := _interruption_by_ending_sas(running, wanted, plan):
        return by_sas
    if after.translated_only and not before.translated_only:
        return UNTRANSLATED
    if addresses := [internal for internal, _ in plan.remove_elements.texts(NatMap.INBOUND)]:
        return Interruption(Extent.FLOWS, f"Ends connections through {_first_of(addresses)}")
    # charon negotiates new children beside the running ones, also if only the peer initiates.
    if wanted.connection.children - running.connection.children:
        return MAKE_BEFORE_BREAK
    return NO_NEW_CHILDREN


def _interruption_by_ending_sas(
    running: CompiledTunnel, wanted: CompiledTunnel, plan: Plan
) -> Interruption | None:
    running_children = sorted(running.connection.as_loaded.children)
    stale = (*plan.terminate_dialing, *plan.terminate)
    if any(sa.whole_ike for sa in stale):
        ending = _pairs(running_children)
    else:
        ending = _pairs(running_children[int(sa.unique_id)] for sa in stale)
    wanted_pairs = _pairs(wanted.connection.as_loaded.children)
    renegotiated = ending & wanted_pairs
    if renegotiated and renegotiated == _pairs(running_children) & wanted_pairs:
        return Interruption(Extent.TUNNEL, f"Interrupts the tunnel {DURATION}")
    if renegotiated:
        text = f"Interrupts traffic from {_pair_list(renegotiated)} {DURATION}"
        return Interruption(Extent.PAIRS, text)
    return Interruption(Extent.PAIRS, f"Ends traffic from {_pair_list(ending)}") if ending else None


def _observed_as_up(compiled: CompiledTunnel) -> Observed:
    """Return the state of a concentrator that holds only this tunnel, with each child up.

    The unique id of a CHILD_SA is its index among the sorted children.
    """
    connection = compiled.connection
    child_sas = tuple(
        ChildSa(
            child.name,
            str(index),
            "INSTALLED",
            connection.child_suite,
            child.local_ts,
            child.remote_ts,
        )
        for index, child in enumerate(sorted(connection.as_loaded.children))
    )
    ike_sa = IkeSa(
        connection.name,
        "1",
        "ESTABLISHED",
        child_sas,
        remote_host=connection.as_loaded.ends[1],
        suite=connection.suite,
    )
    return Observed(
        connections={connection.name: connection.as_loaded},
        secrets=tuple(secret.id for secret in reversed(compiled.secrets)),
        ike_sas=(ike_sa,),
        elements=compiled.elements,
        rules_current=True,
        addresses=AddressSet(),
        loopback_addresses=AddressSet(),
        userland_esp=False,
        routes=frozenset(compiled.routes),
    )


def _pairs(children: Iterable[LoadedChild]) -> frozenset[Pair]:
    return frozenset(
        pair for child in children for pair in product(child.local_ts, child.remote_ts)
    )


def _pair_list(pairs: Iterable[Pair]) -> str:
    return _first_of([f"{hosted} to {remote}" for hosted, remote in sorted(pairs)])


def _first_of(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (" and others" if names[MAX_NAMED:] else "")
