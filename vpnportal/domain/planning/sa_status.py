"""From what charon lists to one word for each tunnel."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from vpnportal.domain.gateway_config.desired import Shape
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import CARRYING, IkeSa
from vpnportal.domain.planning.stale_sas import by_connection


class Association(StrEnum):
    """Whether the children of a loaded connection are installed: all, some, soon, or none.

    OLDER is up with children of an earlier revision, which the peer has not renegotiated yet.
    """

    UP = "up"
    OLDER = "older"
    PARTIAL = "partial"
    CONNECTING = "connecting"
    DOWN = "down"


def associations(loaded: dict[str, Shape], running: Iterable[IkeSa]) -> dict[int, Association]:
    """By tunnel id. A connection that is not loaded is not in the answer, whatever runs of it."""
    of = by_connection(running)
    return {tunnel_id(name): _association(shape.names, of[name]) for name, shape in loaded.items()}


def taken(loaded: dict[str, Shape], running: Iterable[IkeSa]) -> frozenset[int]:
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


def _association(wanted: frozenset[str], running: list[IkeSa]) -> Association:
    carried = _carried(running)
    if carried - wanted:
        return Association.OLDER
    if wanted and wanted <= carried:
        return Association.UP
    if wanted & carried:
        return Association.PARTIAL
    if any(sa.negotiating for sa in running):
        return Association.CONNECTING
    return Association.DOWN


# What may need another look of the lane: something is missing, or its successor may be up by now.
UNSETTLED = frozenset((Association.DOWN, Association.PARTIAL, Association.OLDER))
