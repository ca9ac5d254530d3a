"""Steps that the gateway driver reports while it applies a plan: the lines of the apply log."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.domain.planning.stale_sas import StaleSa


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the apply log; `connection` is "" if the step concerns every tunnel in scope.

    `is_repair` is true if the step counts as drift when no apply and no command caused it. It is
    false for initiating and terminating, which also happen without drift.
    """

    connection: str
    text: str
    ok: bool = True
    is_repair: bool = True


Report = Callable[[Step], None]


def terminated_step(stale: StaleSa) -> Step:
    """Return the step for a stale SA that the worker terminated."""
    if not stale.carries:
        text = "Terminated a negotiation with old settings"
    elif stale.whole_ike:
        text = "Terminated the IKE_SA with old settings"
    else:
        text = "Terminated a CHILD_SA with old settings"
    return Step(stale.connection, text, is_repair=False)


def reconnect_step(stale: StaleSa) -> Step:
    """Return the step for an IKE_SA that the worker terminated for the command Reconnect."""
    return Step(stale.connection, "Terminated an IKE_SA to reconnect", is_repair=False)


def ended_flows_step(flows: Collection[NatFlows]) -> Step:
    """Return the step for flows that outlived an earlier removal of their translations."""
    count = len({item.pair for item in flows})
    return Step("", f"Ended the flows of removed address translations ({count})")
