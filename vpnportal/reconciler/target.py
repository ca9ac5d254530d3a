"""What a scope should hold: the newest standing revision of each of its tunnels, compiled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.planning.observed import Scope
from vpnportal.models import Concentrator, Revision
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.reconciler import revision_cache

# Secrets and translations of so many earlier revisions are looked for beside the standing ones.
# The minute's converge looks at everything and needs no such memory.
EARLIER_REVISIONS = 5
# So long after its outcome a revision still is told what becomes of its associations.
RECORD_EVENTS_FOR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Target:
    """`newest` are the revisions aimed at, by connection: their keys in the database.

    `revisions` are those among them that somebody waits for, or did a moment ago. `scope` is None
    when it is everything. `unreadable` are connections whose revision does not open (a changed row,
    a lost key): what the concentrator holds of them is left as it is, and the others go on.
    """

    newest: dict[str, int]
    revisions: tuple[Revision, ...]
    desired: Desired
    scope: Scope | None
    unreadable: frozenset[str]

    @property
    def unfinished(self) -> tuple[Revision, ...]:
        """Those whose outcome somebody waits for."""
        return tuple(revision for revision in self.revisions if revision.unfinished)


def load_target(concentrator: Concentrator, tunnel_id: int | None) -> Target:
    """The aim for one tunnel of a concentrator, or for all of them."""
    rows = Revision.objects.filter(concentrator=concentrator)
    return _at_all(rows) if tunnel_id is None else _at_one(concentrator, rows, tunnel_id)


def _at_all(rows: RevisionQuerySet) -> Target:
    """Only what is told or waited for is read as a row: there may be ten thousand."""
    standing = (
        rows.live_or_applying()
        .filter(tunnel__disconnected_at=None)
        .order_by("tunnel_id", "-number")
    )
    keys: dict[int, revision_cache.Key] = {}
    for tunnel, pk, created_at in standing.values_list("tunnel_id", "pk", "created_at").iterator():
        keys.setdefault(tunnel, revision_cache.Key(pk, created_at))
    # In the order of the database, in which they are read when they must be loaded.
    ordered = sorted(keys.values())
    found = revision_cache.remembered(ordered)
    revision_cache.forget_all_but(ordered)
    recent = Q(finished_at__gt=timezone.now() - RECORD_EVENTS_FOR)
    waited_for = Q(outcome__in=Revision.UNFINISHED) | Q(first_rekey=Revision.Rekeyed.DUE) | recent
    newest = {key.pk for key in ordered}
    told = [one for one in rows.live_or_applying().filter(waited_for) if one.pk in newest]
    return Target(
        newest={connection_of(tunnel): key.pk for tunnel, key in keys.items()},
        revisions=tuple(one for one in told if revision_cache.Key(one.pk, one.created_at) in found),
        desired=Desired.of(found.values()),
        scope=None,
        unreadable=frozenset(connection_of(t) for t, key in keys.items() if key not in found),
    )


def _at_one(concentrator: Concentrator, rows: RevisionQuerySet, tunnel_id: int) -> Target:
    rows = rows.filter(tunnel_id=tunnel_id).order_by("-number")
    rows = rows.annotate(disconnected_at=F("tunnel__disconnected_at"))
    earlier = list(rows[:EARLIER_REVISIONS])
    standing = [one for one in earlier if one.outcome in Revision.LIVE_OR_APPLYING]
    if not any(one.outcome == Revision.Outcome.LIVE for one in standing):
        standing = list(rows.filter(outcome__in=Revision.LIVE_OR_APPLYING))
    if not standing and _let_go(concentrator, tunnel_id):
        earlier = []
    newest, name = (
        [one for one in standing[:1] if one.disconnected_at is None],
        connection_of(tunnel_id),
    )
    wanted = [one for revision in newest if (one := revision_cache.of(revision))]
    return Target(
        newest=dict.fromkeys([name], newest[0].pk) if newest else {},
        revisions=tuple(newest) if wanted else (),
        desired=Desired.of(wanted),
        scope=_scope(name, (*standing, *earlier)),
        unreadable=frozenset([name] if newest and not wanted else ()),
    )


def _let_go(concentrator: Concentrator, tunnel_id: int) -> bool:
    """Whether the tunnel left; a late message must not take what others were given since."""
    departures = concentrator.releases.filter(tunnel_id=tunnel_id)
    return departures.exists() and not departures.open().exists()


def _scope(name: str, revisions: Iterable[Revision]) -> Scope:
    named = {row.pk: row for row in revisions}
    each = [one for row in named.values() if (one := revision_cache.of(row))]
    return Scope(
        connection=name,
        secrets=frozenset(one.secret.id for one in each),
        elements=NatElements.together(one.elements for one in each),
    )
