"""What a concentrator reports while it takes the steps of a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vpnportal.domain.planning.stale_sas import StaleSa


@dataclass(frozen=True, slots=True)
class Step:
    """Something done; `connection` is "" where it concerns every tunnel in the scope.

    `mends` tells what is drift when nobody asked for it; ending and starting associations is not.
    """

    connection: str
    text: str
    ok: bool = True
    is_repair: bool = True


Report = Callable[[Step], None]


def terminated_step(stale: StaleSa) -> Step:
    """An association was ended."""
    return Step(stale.connection, _words(stale), is_repair=False)


def reconnect_step(stale: StaleSa) -> Step:
    """An IKE_SA was ended because somebody wants another one."""
    return Step(stale.connection, "Ended an IKE_SA to negotiate anew", is_repair=False)


def _words(stale: StaleSa) -> str:
    if not stale.carries:
        return "Ended a negotiation that began with other settings"
    if stale.whole_ike:
        return "Ended the IKE_SA that ran with other settings"
    return "Ended a CHILD_SA that ran with other settings"
