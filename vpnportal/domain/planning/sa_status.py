"""From what charon lists to one word for each tunnel."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import CARRYING, IkeSa
from vpnportal.domain.planning.stale_sas import by_connection


class SaStatus(StrEnum):
    """Whether the children of a loaded connection are installed: all, some, soon, or none.

    OLDER is up with children of an earlier revision, which the peer has not renegotiated yet.
    """

    UP = "up"
    OLDER = "older"
    PARTIAL = "partial"
    CONNECTING = "connecting"
    DOWN = "down"


def sa_status_by_tunnel(
    loaded: dict[str, LoadedConnection], running: Iterable[IkeSa]
) -> dict[int, SaStatus]:
    """By tunnel id. A connection that is not loaded is not in the answer, whatever runs of it."""
    of = by_connection(running)
    return {tunnel_id(name): _association(shape.names, of[name]) for name, shape in loaded.items()}


def fully_established(
    loaded: dict[str, LoadedConnection], running: Iterable[IkeSa]
) -> frozenset[int]:
    """Tunnels whose every child carries, whatever older ones go on beside: their peers agree."""
    of = by_connection(running)
    return frozenset(
        tunnel_id(name)
        for name, shape in loaded.items()
        if shape.names and shape.names <= _carried(of[name])
    )


def _carried(running: Iterable[IkeSa]) -> frozenset[str]:
    return frozenset(
        child.name for sa in running for child in sa.children if child.state in CARRYING
    )


def _association(wanted: frozenset[str], running: list[IkeSa]) -> SaStatus:
    carried = _carried(running)
    if carried - wanted:
        return SaStatus.OLDER
    if wanted and wanted <= carried:
        return SaStatus.UP
    if wanted & carried:
        return SaStatus.PARTIAL
    if any(sa.negotiating for sa in running):
        return SaStatus.CONNECTING
    return SaStatus.DOWN


# What may need another look of the lane: something is missing, or its successor may be up by now.
UNSETTLED = frozenset((SaStatus.DOWN, SaStatus.PARTIAL, SaStatus.OLDER))
