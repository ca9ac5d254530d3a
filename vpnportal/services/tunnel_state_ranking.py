"""Tunnel state labels in SQL, for filters and counts over all tunnels.

The rank of a tunnel is the place of its `TunnelState.label` in StateLabel. The query reads one
index entry per tunnel (`outcomes_by_tunnel`) and decrypts no specification. A test compares
rank and label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In, IsNull
from django.utils import timezone

from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel
from vpnportal.services.state_labels import Outcome, SaStatus, StateLabel

STATE_RANKS: Mapping[str, int] = {label: rank for rank, label in enumerate(StateLabel)}
# Tunnels with the annotation `rank`, which is no column.
RankedTunnels = QuerySet[Any]
KEY = models.BigIntegerField()


def with_state_rank(tunnels: QuerySet[Tunnel]) -> RankedTunnels:
    """Annotate each tunnel with the `rank` of its state label."""
    releases = AddressRelease.objects.open().filter(tunnel=OuterRef("pk"))
    deleted = Case(
        When(Exists(releases), then=_rank(StateLabel.BEING_DELETED)),
        default=_rank(StateLabel.DELETED),
    )
    newest = Revision.objects.filter(tunnel=OuterRef("pk")).order_by("-number")
    applied = Subquery(newest.annotate(rank=_rank_of_newest()).values("rank")[:1])
    present = Coalesce(applied, _rank(StateLabel.NEVER_APPLIED))
    return tunnels.annotate(rank=Case(When(cancelled_at=None, then=present), default=deleted))


def with_changes(tunnels: QuerySet[Any]) -> QuerySet[Any]:
    """Return the tunnels with pending changes, without deleted ones.

    A tunnel that was never applied counts as changed, and so does a draft without a digest.
    """
    revisions = Revision.objects.live_or_applying().filter(tunnel=OuterRef("pk"))
    digest = Subquery(revisions.order_by("-number").values("digest")[:1])
    present = tunnels.filter(cancelled_at=None).annotate(applied_digest=Coalesce(digest, Value("")))
    return present.filter(Q(draft_digest="") | ~Q(applied_digest=F("draft_digest")))


def _rank_of_newest() -> Case:
    """Return the rank as an expression for a subquery of the tunnel's newest revision."""
    decisive = (Outcome.QUEUED, Outcome.APPLYING, Outcome.FAILED, Outcome.WITHDRAWN)
    return Case(
        *(When(outcome=outcome, then=_rank(outcome.label)) for outcome in decisive),
        When(In(_concentrator(), _online_concentrators()), then=_rank_of_sa_status()),
        default=_rank(StateLabel.UNKNOWN),
    )


def _concentrator() -> Case:
    """Return an expression for the concentrator id of the live revision, else of the draft."""
    live = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome=Outcome.LIVE)
    live_at = Subquery(live.order_by("-number").values("concentrator")[:1])
    return Case(
        When(outcome=Outcome.LIVE, then=F("concentrator")),
        default=Coalesce(live_at, OuterRef("concentrator"), output_field=KEY),
        output_field=KEY,
    )


def _rank_of_sa_status() -> Case:
    sa_status = OuterRef("sa_status")
    live = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome=Outcome.LIVE)
    responder_only = Exists(live.filter(responder_only=True))
    down = Case(
        When(responder_only, then=_rank(StateLabel.WAITING_FOR_PEER)),
        default=_rank(StateLabel.DOWN),
    )
    connected = Case(
        When(Exact(sa_status, Value(SaStatus.DOWN.value)), then=down),
        *(
            When(Exact(sa_status, Value(status.value)), then=_rank(status.label))
            for status in SaStatus
        ),
        default=_rank(StateLabel.DOWN),
    )
    return Case(
        When(IsNull(OuterRef("disconnected_at"), True), then=connected),
        When(Exact(sa_status, Value("")), then=_rank(StateLabel.DISCONNECTED)),
        default=_rank(StateLabel.DISCONNECTING),
    )


def _online_concentrators() -> list[int]:
    """Return the ids of online concentrators, and a 0 that matches no concentrator."""
    now = timezone.now()
    rows = Concentrator.objects.all()
    return [0, *(concentrator.pk for concentrator in rows if concentrator.is_online(now))]


def _rank(label: str) -> Value:
    return Value(STATE_RANKS[label], models.SmallIntegerField())
