"""The words of `State.word` found by the database, for filters and counts over every tunnel.

One place in an index is read of each tunnel, and no specification is opened.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In, IsNull
from django.utils import timezone

from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel
from vpnportal.services.tunnel_state import WAITS, Outcome

Seen = Tunnel.SaStatus
# Every word, what somebody should look at first. A rank is a place in it.
LABELS: tuple[str, ...] = (
    Outcome.FAILED.label,
    Outcome.WITHDRAWN.label,
    Seen.DOWN.label,
    WAITS,
    Seen.PARTIAL.label,
    Seen.OLDER.label,
    Seen.CONNECTING.label,
    "unknown",
    Outcome.QUEUED.label,
    Outcome.APPLYING.label,
    "disconnecting",
    "disconnected",
    Seen.UP.label,
    "never applied",
    "being cancelled",
    "cancelled",
)
# Tunnels with their `rank`, which is no column.
Ranked = QuerySet[Any]
KEY = models.BigIntegerField()
RANKS = {word: rank for rank, word in enumerate(LABELS)}


def with_state_rank(tunnels: QuerySet[Tunnel]) -> Ranked:
    """Each with the `rank` of its word."""
    leaving = AddressRelease.objects.open().filter(tunnel=OuterRef("pk"))
    gone = Case(When(Exists(leaving), then=_rank("being cancelled")), default=_rank("cancelled"))
    newest = Revision.objects.filter(tunnel=OuterRef("pk")).order_by("-number")
    applied = Subquery(newest.annotate(rank=_of_newest()).values("rank")[:1])
    here = Coalesce(applied, _rank("never applied"))
    return tunnels.annotate(rank=Case(When(cancelled_at=None, then=here), default=gone))


def with_changes(tunnels: QuerySet[Any]) -> QuerySet[Any]:
    """Those whose draft is not what stands, or that nothing stands of; none that was cancelled."""
    standing = Revision.objects.live_or_applying().filter(tunnel=OuterRef("pk")).order_by("-number")
    applied = tunnels.filter(cancelled_at=None).annotate(
        applied_digest=Coalesce(Subquery(standing.values("digest")[:1]), Value(""))
    )
    return applied.filter(Q(draft_digest="") | ~Q(applied_digest=F("draft_digest")))


def _of_newest() -> Case:
    """What the newest revision says; inside of it the tunnel is the outer row."""
    told = (Outcome.QUEUED, Outcome.APPLYING, Outcome.FAILED, Outcome.WITHDRAWN)
    return Case(
        *(When(outcome=outcome, then=_rank(outcome.label)) for outcome in told),
        When(In(_place(), _in_sight()), then=_of_association()),
        default=_rank("unknown"),
    )


def _place() -> Case:
    """The concentrator that the tunnel is seen at: where it runs, or else where its draft is."""
    elsewhere = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome=Outcome.LIVE)
    runs_at = Subquery(elsewhere.order_by("-number").values("concentrator")[:1])
    return Case(
        When(outcome=Outcome.LIVE, then=F("concentrator")),
        default=Coalesce(runs_at, OuterRef("concentrator"), output_field=KEY),
        output_field=KEY,
    )


def _of_association() -> Case:
    seen = OuterRef("sa_status")
    live = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome=Outcome.LIVE)
    waits = When(Exists(live.filter(responder_only=True)), then=_rank(WAITS))
    return Case(
        When(
            IsNull(OuterRef("disconnected_at"), True),
            then=Case(
                When(
                    Exact(seen, Value(Seen.DOWN.value)),
                    then=Case(waits, default=_rank(Seen.DOWN.label)),
                ),
                *(When(Exact(seen, Value(word.value)), then=_rank(word.label)) for word in Seen),
                default=_rank(Seen.DOWN.label),
            ),
        ),
        When(Exact(seen, Value("")), then=_rank("disconnected")),
        default=_rank("disconnecting"),
    )


def _in_sight() -> list[int]:
    """The concentrators of which the present is known; 0 is none of them."""
    now = timezone.now()
    return [0, *(one.pk for one in Concentrator.objects.all() if one.is_online(now))]


def _rank(word: str) -> Value:
    return Value(RANKS[word], models.SmallIntegerField())
