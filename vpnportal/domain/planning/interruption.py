"""What an apply interrupts: the plan that it would make for a tunnel that runs as applied.

Nothing here guesses. What is applied is taken as running, and `diff` says what would end before
its successor carries. How long that lasts is measured in the laboratory, where both ends are one
machine (`tests/system/test_interruption.py`: 0.04 to 0.4 s).
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

# A hosted network and one of the customer's, as text.
Pair: TypeAlias = "tuple[str, str]"

# Until what had to end is negotiated anew.
ANEW = "less than 1 second, if the other end is ready for it"


class Extent(IntEnum):
    """How far an interruption reaches."""

    NOTHING = 0
    FLOWS = 1
    PAIRS = 2
    TUNNEL = 3


@dataclass(frozen=True, slots=True)
class Interruption:
    """How far it reaches, and what is interrupted, such as "the tunnel for less than …"."""

    extent: Extent
    text: str

    @property
    def sentence(self) -> str:
        """The same as the rest of a sentence."""
        if self is NOT_RUNNING:
            return "nothing is interrupted: the tunnel does not run now"
        if self.extent is Extent.NOTHING:
            return "nothing is interrupted"
        return f"this interrupts {self.text}"


# Told once of the whole, and not with each of perhaps hundreds of changes.
NOT_RUNNING = Interruption(Extent.NOTHING, "nothing")
NO_PEER = Interruption(Extent.TUNNEL, "the tunnel, which has no Remote Peer Address then")
SILENT = Interruption(Extent.NOTHING, "nothing")
BESIDE = Interruption(
    Extent.NOTHING, "nothing: what runs goes on until its successor is negotiated"
)


def interruption(before: TunnelSpec | None, after: TunnelSpec, key: bytes) -> Interruption:
    """What applying `after` interrupts of a tunnel that runs with `before`; None does not run.

    `key` keys the fingerprints, as for `compile_specs`.
    """
    if before is None:
        return NOT_RUNNING
    if after.remote_peer is None:
        return NO_PEER
    if before.hosted_peer != after.hosted_peer:
        return _moved(after)
    running, wanted = compile_tunnel(before, key), compile_tunnel(after, key)
    plan = make_plan(Desired.of([wanted]), _as_running(running))
    ended, kept = _ended(running, plan), _pairs(wanted.connection.as_loaded.children)
    if back := ended & kept:
        return _broken(back, _pairs(running.connection.as_loaded.children) & kept)
    if ended:
        return Interruption(Extent.PAIRS, f"only {_listed(ended)}, which ends")
    # Where only the other end may begin the successor, it is negotiated all the same.
    anew = wanted.connection.children - running.connection.children
    return _flows(plan) or (BESIDE if anew else SILENT)


def _as_running(compiled: CompiledTunnel) -> Observed:
    """A concentrator that holds exactly this, with every child up."""
    connection = compiled.connection
    children = tuple(
        ChildSa(one.name, str(n), "INSTALLED", connection.child_suite, *one[1:3])
        for n, one in enumerate(sorted(connection.as_loaded.children))
    )
    up = IkeSa(
        connection.name,
        "1",
        "ESTABLISHED",
        children,
        remote_host=connection.as_loaded.ends[1],
        suite=connection.suite,
    )
    return Observed(
        connections={connection.name: connection.as_loaded},
        secrets=frozenset([compiled.secret.id]),
        ike_sas=(up,),
        elements=compiled.elements,
        rules_current=True,
        addresses=AddressSet(),
        loopback_addresses=AddressSet(),
        userland_esp=False,
    )


def _ended(running: CompiledTunnel, plan: Plan) -> frozenset[Pair]:
    """What would not be carried from the moment of the apply on."""
    children = sorted(running.connection.as_loaded.children)
    ending = (*plan.terminate_dialing, *plan.terminate)
    if any(one.whole_ike for one in ending):
        return _pairs(children)
    return _pairs(children[int(one.unique_id)] for one in ending)


def _pairs(children: Iterable[LoadedChild]) -> frozenset[Pair]:
    return frozenset(
        pair for child in children for pair in product(child.local_ts, child.remote_ts)
    )


def _broken(back: frozenset[Pair], kept: frozenset[Pair]) -> Interruption:
    """What ends although it is wanted comes back when it was negotiated anew."""
    if back == kept:
        return Interruption(Extent.TUNNEL, f"the tunnel for {ANEW}")
    return Interruption(Extent.PAIRS, f"only {_listed(back)}, for {ANEW}")


def _moved(after: TunnelSpec) -> Interruption:
    """The old concentrator lets go once the new one holds the tunnel."""
    text = f"the tunnel until the other end uses {after.hosted_peer} as the Hosted Peer Address"
    return Interruption(Extent.TUNNEL, text)


def _flows(plan: Plan) -> Interruption | None:
    """A translation that goes or changes ends the connections through its address, no other."""
    gone = [address for address, _ in plan.remove_elements.texts(NatMap.INBOUND)]
    if not gone:
        return None
    named = ", ".join(gone[:4]) + (" and others" if gone[4:] else "")
    return Interruption(Extent.FLOWS, f"only connections through {named}, which end")


def _listed(pairs: Iterable[Pair]) -> str:
    named = [f"{hosted} to {remote}" for hosted, remote in sorted(pairs)]
    return ", ".join(named[:4]) + (" and others" if named[4:] else "")
