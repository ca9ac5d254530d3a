"""From what charon lists to one word for each tunnel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum

from vpnportal.domain.names import tunnel_id
from vpnportal.domain.observed import CARRYING, IkeSa


class Association(StrEnum):
    """Whether the children of a loaded connection are installed: all, some, soon, or none."""

    UP = "up"
    PARTIAL = "partial"
    CONNECTING = "connecting"
    DOWN = "down"


def associations(
    loaded: dict[str, frozenset[str]], running: Iterable[IkeSa]
) -> dict[int, Association]:
    """By tunnel id. A connection that is not loaded is not in the answer, whatever runs of it."""
    by_connection: dict[str, list[IkeSa]] = defaultdict(list)
    for sa in running:
        by_connection[sa.connection].append(sa)
    return {
        tunnel_id(name): _association(children, by_connection[name])
        for name, children in loaded.items()
    }


def _association(wanted: frozenset[str], running: list[IkeSa]) -> Association:
    carried = {child.name for sa in running for child in sa.children if child.state in CARRYING}
    if wanted and wanted <= carried:
        return Association.UP
    if wanted & carried:
        return Association.PARTIAL
    if any(sa.negotiating for sa in running):
        return Association.CONNECTING
    return Association.DOWN
