"""The target of a converge: the desired state of a scope, from the newest revisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import BigAutoField, Exists, F, OuterRef, Q
from django.utils import timezone

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel, Desired
from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.planning.kernel_ipsec import Peers
from vpnportal.domain.planning.leftovers import peers_of
from vpnportal.domain.planning.observed import Scope
from vpnportal.encryption import CannotOpen, concentrator_key
from vpnportal.models import Concentrator, HeldTunnel, KeyRotation, Revision, TunnelCommand
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.reconciler.revision_cache import RevisionKey
from vpnportal.reconciler.revision_cache import revisions as revision_cache

# If an earlier converge may have stopped, the scope of one tunnel covers the secrets and
# translations of this many revisions. A full converge observes everything and finds what is older.
EARLIER_REVISIONS = 5
# Starts and ends of SAs are still recorded this long after a revision has its outcome.
RECORD_EVENTS_FOR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Target:
    """The desired state of a scope, and the revisions it comes from.

    `revision_keys` has the newest revisions by connection. `revisions` are those of them
    that are unfinished or finished lately. `scope` is None for the whole concentrator.
    `unreadable` are the connections whose revision cannot be decrypted (a changed row, a lost key):
    the gateway keeps their state, and the other connections are converged. `may_be_half_done` is
    False if no earlier converge of the scope can have stopped between two changes. `held` are the
    connections that stay as the gateway has them, and whose revisions are not in the target.
    `ended` are the ids of the held tunnels that follow the database in it; only of all tunnels.
    `may_have_commands` is False if no command waited when the revisions were read. `signs_with` has
    the `KeyRotation.Key` of each tunnel of the scope during a rotation, by tunnel id.
    """

    revision_keys: dict[str, RevisionKey]
    revisions: tuple[Revision, ...]
    desired: Desired
    scope: Scope | None
    unreadable: frozenset[str]
    may_be_half_done: bool
    held: frozenset[str] = frozenset()
    ended: tuple[int, ...] = ()
    may_have_commands: bool = True
    signs_with: Mapping[int, str] = field(default_factory=dict)

    @property
    def revision_ids(self) -> dict[str, int]:
        """The ids of the newest revisions by connection."""
        return {name: key.pk for name, key in self.revision_keys.items()}

    @property
    def unfinished(self) -> tuple[Revision, ...]:
        """The revisions that wait for their outcome."""
        return tuple(revision for revision in self.revisions if revision.unfinished)


def load_target(concentrator: Concentrator, tunnel_id: int | None) -> Target:
    """Return the target for one tunnel of a concentrator, or for all its tunnels."""
    held = list(concentrator.held_tunnels.all()) if concentrator.has_held else []
    rows = {row.tunnel_id: row for row in held if row.ended_at is None}
    if tunnel_id is None:
        ended = tuple(row.pk for row in held if row.ended_at)
        return replace(_target_of_all(concentrator, rows), ended=ended)
    if tunnel_id in rows:
        return _target_of_held(concentrator, rows[tunnel_id])
    return _target_of_one(concentrator, tunnel_id)


def _compile_held(concentrator: Concentrator, row: HeldTunnel) -> CompiledTunnel | None:
    """Return the tunnel that the gateway runs; None if it runs none or its file is unreadable."""
    try:
        spec = row.spec()
    except (CannotOpen, ValueError):
        return None
    return compile_tunnel(spec, concentrator_key(concentrator.name), row.mark)


def _target_of_held(concentrator: Concentrator, row: HeldTunnel) -> Target:
    """Return the target for one held tunnel: the state that the gateway has already."""
    name = connection_of(row.tunnel_id)
    tunnel = _compile_held(concentrator, row)
    compiled = [tunnel] if tunnel else []
    return Target(
        revision_keys={},
        revisions=(),
        desired=Desired.of(compiled, settings.HOSTED_INTERFACES),
        scope=_scope(name, compiled, (peers_of(tunnel.connection) for tunnel in compiled)),
        unreadable=frozenset(() if tunnel or row.is_removed else [name]),
        may_be_half_done=False,
        held=frozenset([name]),
    )


def _target_of_all(concentrator: Concentrator, held: Mapping[int, HeldTunnel]) -> Target:
    """Return the target for all tunnels. Load full rows only of revisions in progress."""
    revisions = Revision.objects.filter(concentrator=concentrator)
    newest_first = revisions.to_configure().order_by("tunnel_id", "-number")
    keys: dict[int, RevisionKey] = {}
    columns = newest_first.values_list("tunnel_id", "pk", "created_at", "mark")
    for tunnel_id, pk, created_at, mark in columns.iterator():
        if tunnel_id not in held:
            keys.setdefault(tunnel_id, RevisionKey(pk, created_at, mark))
    # In the order of the table, in which the cache reads ahead.
    ordered = sorted(keys.values())
    compiled = revision_cache.get_many(ordered)
    revision_cache.retain(ordered)
    kept = {pk: tunnel for pk, row in held.items() if (tunnel := _compile_held(concentrator, row))}
    lost = {pk for pk, row in held.items() if pk not in kept and not row.is_removed}
    lost |= {tunnel_id for tunnel_id, key in keys.items() if key not in compiled}
    rotations = KeyRotation.objects.filter(tunnel__revisions__in=revisions.live_or_applying())
    signs_with = dict(rotations.values_list("tunnel_id", "signs_with"))
    in_progress = (
        Q(outcome__in=Revision.UNFINISHED)
        | Q(first_rekey=Revision.Rekeyed.DUE)
        | Q(finished_at__gt=timezone.now() - RECORD_EVENTS_FOR)
    )
    return Target(
        revision_keys={connection_of(tunnel_id): key for tunnel_id, key in keys.items()},
        revisions=tuple(
            revision
            for revision in revisions.live_or_applying().filter(in_progress).with_owner()
            if RevisionKey.of(revision) in compiled
        ),
        desired=Desired.of(
            (*_signing(compiled.values(), signs_with), *kept.values()), settings.HOSTED_INTERFACES
        ),
        scope=None,
        unreadable=frozenset(map(connection_of, lost)),
        may_be_half_done=True,
        held=frozenset(map(connection_of, held)),
        signs_with=signs_with,
    )


def _signing(
    compiled: Iterable[CompiledTunnel], signs_with: Mapping[int, str]
) -> Iterator[CompiledTunnel]:
    """Yield the tunnels with the key with which the concentrator is to authenticate."""
    names = {connection_of(pk) for pk, key in signs_with.items() if key == KeyRotation.Key.NEW}
    for tunnel in compiled:
        signs = tunnel.next_secret is not None and tunnel.connection.name in names
        yield replace(tunnel, signs_with_next=True) if signs else tunnel


def _revisions_of(concentrator_id: int, tunnel_id: int) -> RevisionQuerySet:
    """Return the revisions of a tunnel on a concentrator, newest first.

    One query has what `to_configure` needs, the earlier revisions, and whether a command waits.
    """
    revisions = Revision.objects.filter(concentrator_id=concentrator_id, tunnel_id=tunnel_id)
    commands = TunnelCommand.objects.filter(tunnel=OuterRef("tunnel"), done_at=None)
    return (
        revisions.order_by("-number")
        .with_owner()
        .annotate(
            disconnected_at=F("tunnel__disconnected_at"),
            has_command=Exists(commands),
            signs_with=F("tunnel__key_rotation__signs_with"),
        )
    )


def _newest(limit: int) -> PreparedQuery[Any]:
    """Return the query for the newest revisions of a tunnel on a concentrator."""
    return PreparedQuery(
        lambda concentrator_id, tunnel_id: _revisions_of(concentrator_id, tunnel_id)[:limit],
        BigAutoField(),
        BigAutoField(),
    )


# An apply after a live revision needs no more, and each row takes as long as a short query.
_newest_two, _newest_revisions = _newest(2), _newest(EARLIER_REVISIONS)


def _target_of_one(concentrator: Concentrator, tunnel_id: int) -> Target:
    name = connection_of(tunnel_id)
    earlier = _newest_two(concentrator.pk, tunnel_id)
    current = [row for row in earlier if row.outcome in Revision.LIVE_OR_APPLYING]
    if not any(row.outcome == Revision.Outcome.LIVE for row in current):
        revisions = _revisions_of(concentrator.pk, tunnel_id)
        current = list(revisions.filter(outcome__in=Revision.LIVE_OR_APPLYING))
    newest = [row for row in current[:1] if row.disconnected_at is None]
    may_be_half_done = not newest or _may_be_half_done(newest[0], earlier)
    if may_be_half_done:
        is_released = not current and _is_released(concentrator, tunnel_id)
        earlier = [] if is_released else _newest_revisions(concentrator.pk, tunnel_id)
    for row in (*earlier, *current):
        row.concentrator = concentrator
    signs_with = {row.tunnel_id: row.signs_with for row in newest if row.signs_with}
    cached = [tunnel for row in newest if (tunnel := revision_cache.get(row))]
    compiled = list(_signing(cached, signs_with))
    return Target(
        revision_keys=dict.fromkeys([name], RevisionKey.of(newest[0])) if newest else {},
        revisions=tuple(newest) if compiled else (),
        desired=Desired.of(compiled, settings.HOSTED_INTERFACES),
        scope=_scope_of(name, (*current, *earlier) if may_be_half_done else current),
        unreadable=frozenset([name] if newest and not compiled else ()),
        may_be_half_done=may_be_half_done,
        may_have_commands=any(row.has_command for row in current),
        signs_with=signs_with,
    )


def _may_be_half_done(newest: Revision, newest_first: Sequence[Revision]) -> bool:
    """Return True if a converge may have stopped after it began to change the gateway.

    It cannot have stopped if the revision is the newest of all and live, or queued after a live
    one. A revision that is applying already was begun before; so was one that failed.
    """
    if newest_first[0].pk != newest.pk:
        return True
    if newest.outcome == Revision.Outcome.QUEUED:
        return any(row.outcome != Revision.Outcome.LIVE for row in newest_first[1:2])
    return newest.outcome != Revision.Outcome.LIVE


def _is_released(concentrator: Concentrator, tunnel_id: int) -> bool:
    """Return True if the tunnel has releases on the concentrator and none of them is open."""
    releases = concentrator.releases.filter(tunnel_id=tunnel_id)
    return releases.exists() and not releases.open().exists()


def _scope_of(name: str, revisions: Iterable[Revision]) -> Scope:
    rows = {row.pk: row for row in revisions}.values()
    compiled = [tunnel for row in rows if (tunnel := revision_cache.get(row))]
    return _scope(
        name, compiled, (Peers(row.hosted_peer, row.remote_peer, row.mark) for row in rows)
    )


def _scope(name: str, compiled: Sequence[CompiledTunnel], peers: Iterable[Peers]) -> Scope:
    return Scope(
        connection=name,
        secrets=frozenset(secret.id for tunnel in compiled for secret in tunnel.secrets),
        elements=NatElements.of_tunnels(compiled),
        routes=frozenset(route for tunnel in compiled for route in tunnel.routes),
        peers=frozenset(peers),
        lists_secrets=any(tunnel.next_secret for tunnel in compiled),
    )
