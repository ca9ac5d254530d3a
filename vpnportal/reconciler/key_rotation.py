"""Rotations of preshared keys: which key charon authenticates with, and which one the peer used.

The monitor decides by charon's log, and the worker loads. An attempt says something about the
loaded key only if it began after the worker had loaded it.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from vpnportal.models import Concentrator, KeyRotation, Revision
from vpnportal.reconciler.target import Target

_OTHER_KEY = Case(
    When(signs_with=KeyRotation.Key.OLD, then=Value(KeyRotation.Key.NEW.value)),
    default=Value(KeyRotation.Key.OLD.value),
)


def note_loaded(target: Target) -> None:
    """Record the keys that charon authenticates with since this converge or before."""
    for key in KeyRotation.Key:
        tunnels = [pk for pk, signs_with in target.signs_with.items() if signs_with == key]
        if tunnels:
            # Not of a rotation whose key the monitor has changed meanwhile.
            rows = KeyRotation.objects.filter(tunnel__in=tunnels, signs_with=key)
            rows.exclude(loaded=key).update(loaded=key, loaded_at=timezone.now())


def running(concentrator: Concentrator) -> frozenset[int]:
    """Return the ids of the tunnels of a concentrator whose key is being rotated."""
    revisions = Revision.objects.filter(concentrator=concentrator).live_or_applying()
    rows = KeyRotation.objects.filter(tunnel__revisions__in=revisions)
    return frozenset(rows.values_list("tunnel_id", flat=True))


def choose_other_key(tunnel: int, began_at: datetime) -> bool:
    """Choose the other key, because the peer rejected the loaded one in an attempt.

    Returns False if the attempt began before the key was loaded. So each attempt changes the key
    once at most.
    """
    return bool(_loaded_before(tunnel, began_at).update(signs_with=_OTHER_KEY))


def note_used(tunnel: int, began_at: datetime) -> None:
    """Record that the peer has authenticated with the loaded key, in an attempt."""
    _loaded_before(tunnel, began_at).update(used=F("loaded"), used_at=timezone.now())


def _loaded_before(tunnel: int, began_at: datetime) -> QuerySet[KeyRotation]:
    rows = KeyRotation.objects.filter(tunnel=tunnel, loaded=F("signs_with"))
    return rows.filter(loaded_at__lt=began_at)
