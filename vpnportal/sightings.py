"""What was seen of the tunnels' associations, written down: only what changed.

Worker and watch both look. Each says when it began to, and an older look never overwrites a newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from vpnportal.domain.sight import Association
from vpnportal.models import Concentrator, Tunnel


def note_all(lane: Concentrator, seen: dict[int, Association], at: datetime) -> None:
    """The associations of every tunnel of a concentrator; what was not seen is not loaded."""
    known = lane.tunnels.values_list("pk", "association")
    by_word: dict[str, list[int]] = defaultdict(list)
    for pk, word in known:
        if seen.get(pk, "") != word:
            by_word[seen.get(pk, "")].append(pk)
    for word, pks in by_word.items():
        _write(Tunnel.objects.filter(pk__in=pks), word, at)


def note_one(tunnel_id: int, seen: dict[int, Association], at: datetime) -> None:
    """The association of one tunnel."""
    _write(Tunnel.objects.filter(pk=tunnel_id), seen.get(tunnel_id, ""), at)


def note_in_sight(lane: Concentrator, userland_esp: bool) -> None:
    """The concentrator answered just now."""
    Concentrator.objects.filter(pk=lane.pk).update(
        seen_at=timezone.now(), unreachable_reason="", userland_esp=userland_esp
    )


def note_foreign(lane: Concentrator, names: Iterable[str]) -> None:
    """Connections that somebody else loaded; written only when they changed."""
    found = list(names)
    if found != lane.foreign:
        Concentrator.objects.filter(pk=lane.pk).update(foreign=found)


def note_unreachable(lane: Concentrator, reason: str) -> None:
    """The concentrator did not answer; `seen_at` stays, so that pages can tell the age."""
    Concentrator.objects.filter(pk=lane.pk).exclude(unreachable_reason=reason).update(
        unreachable_reason=reason
    )


def _write(tunnels: QuerySet[Tunnel], word: str, at: datetime) -> None:
    older = Q(association_at__isnull=True) | Q(association_at__lt=at)
    tunnels.filter(older).update(association=word, association_at=at)
