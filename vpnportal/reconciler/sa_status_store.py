"""What was seen of the tunnels' associations, written down: only what changed.

Worker and watch both look. Each says when it began to, and an older look never overwrites a newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel


def save_all(concentrator: Concentrator, seen: dict[int, SaStatus], at: datetime) -> None:
    """The associations of every tunnel of a concentrator; what was not seen is not loaded."""
    known = tunnels_of(concentrator).values_list("pk", "sa_status")
    by_word: dict[str, list[int]] = defaultdict(list)
    for pk, word in known:
        if seen.get(pk, "") != word:
            by_word[seen.get(pk, "")].append(pk)
    for word, pks in by_word.items():
        _write(Tunnel.objects.filter(pk__in=pks), word, at)


def save_one(
    concentrator: Concentrator, tunnel_id: int, seen: dict[int, SaStatus], at: datetime
) -> None:
    """The association of one tunnel."""
    _write(tunnels_of(concentrator).filter(pk=tunnel_id), seen.get(tunnel_id, ""), at)


def save_online(concentrator: Concentrator, userland_esp: bool) -> None:
    """The concentrator answered just now."""
    Concentrator.objects.filter(pk=concentrator.pk).update(
        seen_at=timezone.now(), unreachable_reason="", userland_esp=userland_esp
    )


def save_capabilities(
    concentrator: Concentrator, algorithms: dict[str, list[str]], version: str
) -> None:
    """What charon said that it can do; written when it changed."""
    row = Concentrator.objects.filter(pk=concentrator.pk)
    if (algorithms, version) != row.values_list("algorithms", "charon_version").first():
        row.update(algorithms=algorithms, charon_version=version)


def save_for_operators(
    concentrator: Concentrator, foreign: Iterable[str], dropped: Mapping
) -> None:
    """Connections that somebody else loaded, and packets dropped; written when they changed."""
    found = {"foreign_connections": list(foreign), "drop_counters": dict(dropped)}
    if found != {
        "foreign_connections": concentrator.foreign_connections,
        "drop_counters": concentrator.drop_counters,
    }:
        Concentrator.objects.filter(pk=concentrator.pk).update(**found)


def save_dropped_by_esp(concentrator: Concentrator, more: int) -> None:
    """Packets that left a tunnel with addresses that it does not lead to, since the last note."""
    Concentrator.objects.filter(pk=concentrator.pk).update(
        dropped_by_esp=F("dropped_by_esp") + more
    )


def save_unreachable(concentrator: Concentrator, reason: str) -> None:
    """The concentrator did not answer; `seen_at` stays, so that pages can tell the age."""
    Concentrator.objects.filter(pk=concentrator.pk).exclude(unreachable_reason=reason).update(
        unreachable_reason=reason
    )


def tunnels_of(concentrator: Concentrator) -> QuerySet[Tunnel]:
    """Tunnels for which this concentrator speaks: one that moves, until it is live elsewhere."""
    moving = AddressRelease.objects.open().values("tunnel")
    live = Revision.objects.filter(outcome=Revision.Outcome.LIVE, tunnel__in=moving)
    at = dict(live.values_list("tunnel_id", "concentrator_id"))
    here = [tunnel for tunnel, place in at.items() if place == concentrator.pk]
    return Tunnel.objects.filter(Q(concentrator=concentrator) | Q(pk__in=here)).exclude(
        pk__in=at.keys() - here
    )


def _write(tunnels: QuerySet[Tunnel], word: str, at: datetime) -> None:
    older = Q(sa_status_at__isnull=True) | Q(sa_status_at__lt=at)
    # Written before the clock was set back; until that time comes, nothing would be newer.
    older |= Q(sa_status_at__gt=timezone.now())
    tunnels.filter(older).update(sa_status=word, sa_status_at=at)
