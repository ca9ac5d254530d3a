"""What a scope should hold: the newest standing revision of each of its tunnels, compiled."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from vpnportal.domain.compile import compile_specs
from vpnportal.domain.desired import Desired
from vpnportal.domain.names import connection_of
from vpnportal.domain.observed import Scope
from vpnportal.domain.spec import TunnelSpec
from vpnportal.models import Concentrator, Revision
from vpnportal.seal import CannotOpen, fingerprint_key

log = logging.getLogger(__name__)

# Secrets and translations of so many earlier revisions are looked for beside the standing ones.
# The minute's converge looks at everything and needs no such memory.
EARLIER = 5


@dataclass(frozen=True, slots=True)
class Aim:
    """`revisions` are the ones aimed at; `scope` is None when it is everything.

    `unreadable` are connections whose revision does not open (a changed row, a lost key): what the
    concentrator holds of them is left as it is, and the other tunnels go on.
    """

    revisions: tuple[Revision, ...]
    desired: Desired
    scope: Scope | None
    unreadable: frozenset[str] = frozenset()

    @property
    def unfinished(self) -> tuple[Revision, ...]:
        """Those whose outcome somebody waits for."""
        return tuple(revision for revision in self.revisions if revision.unfinished)


def aim_at(lane: Concentrator, tunnel_id: int | None) -> Aim:
    """The aim for one tunnel of a concentrator, or for all of them."""
    rows = Revision.objects.filter(concentrator=lane).order_by("tunnel_id", "-number")
    if tunnel_id is not None:
        rows = rows.filter(tunnel_id=tunnel_id)
    standing = list(rows.standing())
    newest: dict[int, Revision] = {}
    for revision in standing:
        newest.setdefault(revision.tunnel_id, revision)
    key = fingerprint_key()
    readable = {revision: spec for revision in newest.values() if (spec := _spec(revision))}
    desired = compile_specs(readable.values(), key)
    scope = None
    if tunnel_id is not None:
        earlier = rows[:EARLIER] if standing or not _let_go(lane, tunnel_id) else ()
        scope = _scope(tunnel_id, (*standing, *earlier), key)
    unreadable = {connection_of(one.tunnel_id) for one in newest.values() if one not in readable}
    return Aim(tuple(readable), desired, scope, frozenset(unreadable))


def _let_go(lane: Concentrator, tunnel_id: int) -> bool:
    """Whether the tunnel left; a late message must not take what others were given since."""
    departures = lane.departures.filter(tunnel_id=tunnel_id)
    return departures.exists() and not departures.open().exists()


def _spec(revision: Revision) -> TunnelSpec | None:
    try:
        return revision.spec()
    except CannotOpen:
        log.exception("%s cannot be opened: its tunnel is left as it is", revision)
        return None


def _scope(tunnel_id: int, revisions: Iterable[Revision], key: bytes) -> Scope:
    named = {row.pk: row for row in revisions}
    each = [compile_specs([spec], key) for row in named.values() if (spec := _spec(row))]
    return Scope(
        connection=connection_of(tunnel_id),
        secrets=frozenset(secret for one in each for secret in one.secrets),
        keys=frozenset((element.map, element.key) for one in each for element in one.elements),
    )
