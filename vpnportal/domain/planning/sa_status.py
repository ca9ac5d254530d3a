"""The SA status of each tunnel, from charon's connections and SAs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.observed import CARRYING, IkeSa
from vpnportal.domain.planning.stale_sas import by_connection


class SaStatus(StrEnum):
    """Status of the CHILD_SAs of a loaded connection. The database stores the values."""

    UP = "up"
    # Up with a CHILD_SA of an earlier revision, which the peer has not renegotiated.
    OLDER = "older"
    # Some children carry traffic.
    PARTIAL = "partial"
    CONNECTING = "connecting"
    DOWN = "down"

    @property
    def label(self) -> str:
        """The status as text on the pages."""
        return _LABELS[self]


_LABELS = {
    SaStatus.UP: "Up",
    SaStatus.OLDER: "Up \N{EN DASH} settings out of date",
    SaStatus.PARTIAL: "Degraded",
    SaStatus.CONNECTING: "Connecting",
    SaStatus.DOWN: "Down",
}


# A further converge may improve these: children are missing, or a successor may be up.
UNSETTLED = frozenset((SaStatus.DOWN, SaStatus.PARTIAL, SaStatus.OLDER))


def sa_status_by_tunnel(
    loaded: dict[str, LoadedConnection], running: Iterable[IkeSa]
) -> dict[int, SaStatus]:
    """Return the status by tunnel id. SAs of connections that are not loaded do not count."""
    ike_sas = by_connection(running)
    return {
        tunnel_id(name): _status(connection.names, ike_sas[name])
        for name, connection in loaded.items()
    }


def fully_established(
    loaded: dict[str, LoadedConnection], running: Iterable[IkeSa]
) -> frozenset[int]:
    """Return the ids of the tunnels whose children all carry traffic.

    CHILD_SAs with older settings may carry traffic, too.
    """
    ike_sas = by_connection(running)
    return frozenset(
        tunnel_id(name)
        for name, connection in loaded.items()
        if connection.names and connection.names <= _carrying_children(ike_sas[name])
    )


def _carrying_children(running: Iterable[IkeSa]) -> frozenset[str]:
    return frozenset(
        child.name for sa in running for child in sa.children if child.state in CARRYING
    )


def _status(children: frozenset[str], running: list[IkeSa]) -> SaStatus:
    carrying = _carrying_children(running)
    if carrying - children:
        return SaStatus.OLDER
    if children and children <= carrying:
        return SaStatus.UP
    if children & carrying:
        return SaStatus.PARTIAL
    if any(sa.is_negotiating for sa in running):
        return SaStatus.CONNECTING
    return SaStatus.DOWN
