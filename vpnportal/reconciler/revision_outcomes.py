"""What became of a revision, written into its row as it happens; each outcome is given once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.gateway.steps import Report, Step
from vpnportal.models import RemoteClaim, Revision
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.reconciler import step_log

Outcome = Revision.Outcome
# While an apply takes long its steps can be watched; a fast one is written once.
WRITTEN_AFTER_SECONDS = 0.1
# A flapping tunnel must not fill the row of its revision.
MAX_STEPS = 200
# So many are named in one statement; of more, those that need it are found first.
AT_ONCE = 100


def mark_applying(revisions: Iterable[Revision]) -> None:
    """The concentrator's worker has taken them up."""
    for revision in revisions:
        if revision.outcome == Outcome.QUEUED:
            revision.outcome = Outcome.APPLYING
            _add(revision, Step("", "Taken up by the concentrator's worker"))
            _unfinished(revision).update(outcome=Outcome.APPLYING, steps=revision.steps)


@contextmanager
def record_steps(aimed_at: Iterable[Revision], otherwise: Report | None = None) -> Iterator[Report]:
    """What a device reports its steps to: each goes to the revisions that it concerns.

    While a revision waits for its outcome it has every step of its tunnel. Afterwards it has the
    starts and the ends of associations; what mends the rest is nobody's apply, but drift. They are
    written at the latest when the block ends, and while it takes long. A step that is reported
    after that is written at once, behind what has been written since.
    """
    by_connection = {connection_of(one.tunnel_id): one for one in aimed_at}
    unfinished = [one for one in by_connection.values() if one.unfinished]
    unwritten: dict[int, Revision] = {}
    written_at = time.monotonic()
    over = False

    def report(step: Step) -> None:
        nonlocal written_at
        concerned = _concerned(step, by_connection, unfinished)
        for revision in concerned:
            if over:
                revision.refresh_from_db(fields=["steps"])
            _add(revision, step)
            unwritten[revision.pk] = revision
        if not concerned and otherwise is not None:
            otherwise(step)
        if over or time.monotonic() - written_at >= WRITTEN_AFTER_SECONDS:
            _write(unwritten)
            written_at = time.monotonic()

    try:
        yield report
    finally:
        over = True
        _write(unwritten)


def _concerned(
    step: Step, by_connection: Mapping[str, Revision], unfinished: list[Revision]
) -> list[Revision]:
    if not step.connection:
        return unfinished
    revision = by_connection.get(step.connection)
    return [revision] if revision and (revision.unfinished or not step.is_repair) else []


def append_step(revisions: Iterable[Revision], step: Step) -> None:
    """One more line of what was done for them."""
    for revision in revisions:
        _add(revision, step)
        _write({revision.pk: revision})


def mark_live(revisions: Iterable[Revision]) -> None:
    """The concentrator holds them now; what stood before is replaced, or kept for a trial's end."""
    for revision in revisions:
        with transaction.atomic():
            if not _end(revision, Outcome.LIVE, ""):
                continue
            revision.outcome = Outcome.LIVE
            older = Revision.objects.holding().filter(
                tunnel_id=revision.tunnel_id, number__lt=revision.number
            )
            if revision.trial_seconds:
                _begin_trial(revision, older)
                older = older.exclude(outcome=Outcome.FALLBACK)
            older.update(outcome=Outcome.REPLACED)


def _begin_trial(revision: Revision, older: RevisionQuerySet) -> None:
    """From now on it has so many seconds; what may come back is kept in reserve."""
    ends = timezone.now() + timedelta(seconds=revision.trial_seconds or 0)
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=ends)
    if not older.filter(outcome=Outcome.FALLBACK).exists():
        good = _last_good(revision) or older.filter(outcome=Outcome.LIVE).first()
        if good:
            Revision.objects.filter(pk=good.pk).update(outcome=Outcome.FALLBACK)


def _last_good(revision: Revision) -> Revision | None:
    """The newest earlier one that was seen up, if nobody else was given its networks since."""
    noted = Q(first_up_at__isnull=False)
    if revision.tunnel.sa_status == SaStatus.UP:
        # What is up may not have been noted yet.
        noted |= Q(outcome=Outcome.LIVE)
    earlier = Revision.objects.filter(
        tunnel_id=revision.tunnel_id,
        number__lt=revision.number,
        outcome__in=(Outcome.LIVE, Outcome.REPLACED),
    ).filter(noted)
    good = earlier.first()
    if good is None or good.outcome == Outcome.LIVE:
        return good
    others = Revision.objects.holding().filter(concentrator_id=good.concentrator_id)
    claims = RemoteClaim.objects.filter(revision__in=others.exclude(tunnel_id=good.tunnel_id))
    taken = any(
        claims.filter(first__lte=one.last, last__gte=one.first).exists()
        for one in good.claims.all()
    )
    return None if taken else good


def mark_up(newest: Iterable[int]) -> None:
    """The tunnels of these revisions, by their keys, were seen up; only the first time counts."""
    news, wanted = Revision.objects.filter(outcome=Outcome.LIVE, first_up_at=None), set(newest)
    if len(wanted) > AT_ONCE:
        wanted &= set(news.values_list("pk", flat=True))
    news.filter(pk__in=wanted).update(first_up_at=timezone.now())


def mark_accepted_by_peer(tunnel_id: int) -> None:
    """The peer took what is loaded of a tunnel: its live revision, if none is on its way."""
    unfinished = Revision.objects.filter(tunnel=OuterRef("tunnel"), outcome__in=Revision.UNFINISHED)
    live = Revision.objects.filter(tunnel_id=tunnel_id, outcome=Outcome.LIVE, first_up_at=None)
    live.exclude(Exists(unfinished)).update(first_up_at=timezone.now())


def mark_failed(revisions: Iterable[Revision], reason: str) -> None:
    """They did not reach the concentrator; what stood before still stands."""
    for revision in revisions:
        _end(revision, Outcome.FAILED, reason)


def fail_refused(newest: Mapping[str, int], refused: Mapping[str, str]) -> None:
    """charon refused them, by connection and reason: also a live one, when charon came back.

    `newest` has the keys of the revisions by connection.
    """
    for connection, reason in refused.items():
        if pk := newest.get(connection):
            Revision.objects.filter(pk=pk).update(
                outcome=Outcome.FAILED,
                finished_at=timezone.now(),
                reason=f"The concentrator refused the configuration: {reason}.",
            )


def _end(revision: Revision, outcome: Outcome, reason: str) -> int:
    now = timezone.now()
    return _unfinished(revision).update(outcome=outcome, reason=reason, finished_at=now)


def _unfinished(revision: Revision) -> RevisionQuerySet:
    return Revision.objects.filter(pk=revision.pk, outcome__in=Revision.UNFINISHED)


def _add(revision: Revision, step: Step) -> None:
    revision.steps = [*revision.steps[-MAX_STEPS:], step_log.line(step)]


def _write(revisions: dict[int, Revision]) -> None:
    for pk, revision in revisions.items():
        Revision.objects.filter(pk=pk).update(steps=revision.steps)
    revisions.clear()
