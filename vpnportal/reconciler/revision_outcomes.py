"""Outcomes of revisions. Each revision gets its outcome once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import BigAutoField, Exists, OuterRef, PositiveIntegerField, Q
from django.utils import timezone

from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.encryption import CannotOpen
from vpnportal.gateway.steps import Step
from vpnportal.models import RemoteClaim, Revision, TunnelMark
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.models.row_locks import (
    lock_concentrator,
    lock_outcomes,
    lock_revisions,
    lock_tunnel_at_gateway,
    locked_outcomes,
)
from vpnportal.prepared_statements import PreparedUpdate
from vpnportal.reconciler.step_log import log_entry

Outcome = Revision.Outcome
# SQLite limits the ids in one statement. Above this, the due revisions are selected first.
MAX_IDS = 100
# charon restarts faster than this. Without it, giving up an observation that began long ago would
# fail an apply of a moment ago.
GRACE_PERIOD = timedelta(seconds=5)


def _unfinished(pk: int) -> RevisionQuerySet:
    return Revision.objects.filter(pk=pk, outcome__in=Revision.UNFINISHED)


def _older(tunnel_id: int, number: int) -> RevisionQuerySet:
    """Return the revisions of a tunnel before a number that still reserve their networks."""
    return Revision.objects.holding().filter(tunnel_id=tunnel_id, number__lt=number)


_begin = PreparedUpdate(_unfinished, BigAutoField(), columns=("outcome", "steps"))
_end = PreparedUpdate(
    _unfinished, BigAutoField(), columns=("outcome", "reason", "finished_at", "steps")
)
_replace_older = PreparedUpdate(
    _older, BigAutoField(), PositiveIntegerField(), columns=("outcome",)
)


def mark_applying(revisions: Iterable[Revision]) -> None:
    """Set the queued revisions among `revisions` to applying, and log the start."""
    for revision in revisions:
        if revision.outcome == Outcome.QUEUED:
            revision.outcome = Outcome.APPLYING
            revision.steps = [*revision.steps, log_entry(Step("", "Started"))]
            # An outcome changes the tunnel's summary, which comes last in the order of locks.
            with locked_outcomes(revision.tunnel_id):
                _begin(revision.pk, outcome=revision.outcome, steps=revision.steps)


def mark_live(revisions: Iterable[Revision]) -> None:
    """Write that the concentrator holds these revisions.

    Replaces the revisions before them. A trial keeps its fallback.
    """
    for revision in revisions:
        with transaction.atomic():
            fallback = _lock_fallback(revision) if revision.trial_seconds else None
            lock_outcomes(revision.tunnel_id)
            if not _finish(revision, Outcome.LIVE, ""):
                continue
            revision.outcome = Outcome.LIVE
            if revision.trial_seconds:
                older = _older(revision.tunnel_id, revision.number)
                _begin_trial(revision, older, fallback)
                older.exclude(outcome=Outcome.FALLBACK).update(outcome=Outcome.REPLACED)
            else:
                _replace_older(revision.tunnel_id, revision.number, outcome=Outcome.REPLACED)


def mark_up(live: Iterable[int]) -> None:
    """Write the first time that the tunnels of these live revisions, given by id, were up."""
    not_seen_up, ids = Revision.objects.filter(outcome=Outcome.LIVE, first_up_at=None), set(live)
    if len(ids) > MAX_IDS:
        ids &= set(not_seen_up.values_list("pk", flat=True))
    with transaction.atomic():
        lock_revisions(not_seen_up.filter(pk__in=ids))
        not_seen_up.filter(pk__in=ids).update(first_up_at=timezone.now())


def mark_accepted_by_peer(tunnel_id: int) -> None:
    """Write that the peer accepted the live revision of a tunnel.

    Does nothing while a newer revision is unfinished: its settings may be loaded already.
    """
    unfinished = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome__in=Revision.UNFINISHED)
    live = Revision.objects.filter(tunnel_id=tunnel_id, outcome=Outcome.LIVE, first_up_at=None)
    live.exclude(Exists(unfinished)).update(first_up_at=timezone.now())


def mark_failed(revisions: Iterable[Revision], reason: str) -> None:
    """Fail unfinished revisions. The revisions before them stay live."""
    for revision in revisions:
        with locked_outcomes(revision.tunnel_id):
            _finish(revision, Outcome.FAILED, reason)


def fail_overdue(revisions: Iterable[Revision], reason: str) -> None:
    """Fail the unfinished revisions that are older than the grace period."""
    mark_failed((revision for revision in revisions if revision.age >= GRACE_PERIOD), reason)


def fail_refused(live_ids: Mapping[str, int], refusals: Mapping[str, str]) -> None:
    """Fail the revisions that charon refused, also live ones after a restart of charon.

    `live_ids` has the ids of revisions by connection, `refusals` the reasons by connection.
    """
    for connection, reason in refusals.items():
        if pk := live_ids.get(connection):
            _fail_refused(pk, f"The concentrator refused the configuration: {reason}.")


def _fail_refused(pk: int, reason: str) -> None:
    """Fail a revision. If it was live on trial, its fallback is live again."""
    tunnel_id = Revision.objects.values_list("tunnel_id", flat=True).get(pk=pk)
    with transaction.atomic():
        lock_outcomes(tunnel_id)
        refused = Revision.objects.live_or_applying().filter(pk=pk)
        was_live = refused.filter(outcome=Outcome.LIVE).exists()
        refused.update(
            outcome=Outcome.FAILED, finished_at=timezone.now(), reason=reason, trial_ends_at=None
        )
        if was_live:
            fallback = Revision.objects.filter(tunnel_id=tunnel_id, outcome=Outcome.FALLBACK)
            fallback.update(outcome=Outcome.LIVE)


def _lock_fallback(revision: Revision) -> Revision | None:
    """Return the earlier revision that a trial could restore, or None.

    Locks the tunnel, and the concentrator on which a replaced revision would claim its networks
    again. A gateway cannot see the claims at another concentrator.
    """
    tunnel = lock_tunnel_at_gateway(revision.tunnel_id)
    good = _last_good(revision, is_up=tunnel.sa_status == SaStatus.UP)
    if good is None or good.outcome == Outcome.LIVE:
        return good
    if good.concentrator_id != revision.concentrator_id:
        return None
    lock_concentrator(good.concentrator_id)
    return good if _holds_mark(good) and not _is_claimed_by_others(good) else None


def _begin_trial(revision: Revision, older: RevisionQuerySet, last_good: Revision | None) -> None:
    """Write the end of the trial time, and mark the revision to restore as fallback."""
    ends = timezone.now() + timedelta(seconds=revision.trial_seconds or 0)
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=ends)
    if not older.filter(outcome=Outcome.FALLBACK).exists():
        fallback = last_good or older.filter(outcome=Outcome.LIVE).first()
        if fallback:
            Revision.objects.filter(pk=fallback.pk).update(outcome=Outcome.FALLBACK)


def _last_good(revision: Revision, is_up: bool) -> Revision | None:
    """Return the newest earlier revision that was seen up. `is_up` is the status of the tunnel."""
    was_up = Q(first_up_at__isnull=False)
    if is_up:
        # The monitor may not have written `first_up_at` of the live revision yet.
        was_up |= Q(outcome=Outcome.LIVE)
    return (
        Revision.objects.filter(
            tunnel_id=revision.tunnel_id,
            number__lt=revision.number,
            outcome__in=(Outcome.LIVE, Outcome.REPLACED),
        )
        .filter(was_up)
        .first()
    )


def _holds_mark(revision: Revision) -> bool:
    """Return True if the mark is the tunnel's: another tunnel may have it after a move."""
    marks = TunnelMark.objects.live().filter(
        tunnel=revision.tunnel_id, concentrator=revision.concentrator_id
    )
    return marks.filter(number=revision.mark).exists()


def _is_claimed_by_others(revision: Revision) -> bool:
    """Return True if another tunnel holds a network that overlaps one that the revision claims.

    Expired claims count too: only an apply takes a network from a tunnel that was never up.
    """
    try:
        spec = revision.spec()
    except CannotOpen:
        return True
    claims = RemoteClaim.objects.reserved().at(revision.concentrator).of_others(revision.tunnel_id)
    networks = () if spec.translated_only else spec.remote_subnets
    return claims.filter(is_peer=False).overlapping(networks).exists()


def _finish(revision: Revision, outcome: Outcome, reason: str) -> int:
    """Write the outcome and the apply log of an unfinished revision; return the number of rows."""
    return _end(
        revision.pk,
        outcome=outcome,
        reason=reason,
        finished_at=timezone.now(),
        steps=revision.steps,
    )
