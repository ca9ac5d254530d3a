"""What became of a revision, written into its row as it happens; each outcome is given once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.utils import timezone

from vpnportal.device.concentrator import Report, Step
from vpnportal.domain.names import connection_of
from vpnportal.models import Revision
from vpnportal.models.revisions import RevisionQuerySet

Outcome = Revision.Outcome


def begin(revisions: Iterable[Revision]) -> None:
    """The concentrator's worker has taken them up."""
    for revision in revisions:
        if revision.outcome == Outcome.QUEUED:
            revision.outcome = Outcome.APPLYING
            _record(revision, Step("", "Taken up by the concentrator's worker"))
            _unfinished(revision).update(outcome=Outcome.APPLYING)


def recorder(revisions: Iterable[Revision]) -> Report:
    """What a device reports its steps to: each goes to the revisions that it concerns."""
    by_connection = {connection_of(revision.tunnel_id): revision for revision in revisions}

    def report(step: Step) -> None:
        for connection, revision in by_connection.items():
            if step.connection in (connection, ""):
                _record(revision, step)

    return report


def finish(revisions: Iterable[Revision]) -> None:
    """The concentrator holds them now; what stood before is replaced."""
    for revision in revisions:
        with transaction.atomic():
            if not _end(revision, Outcome.LIVE, ""):
                continue
            older = Revision.objects.standing().filter(
                tunnel_id=revision.tunnel_id, number__lt=revision.number
            )
            older.update(outcome=Outcome.REPLACED)


def fail(revisions: Iterable[Revision], reason: str) -> None:
    """They did not reach the concentrator; what stood before still stands."""
    for revision in revisions:
        _end(revision, Outcome.FAILED, reason)


def fail_refused(revisions: Iterable[Revision], refused: Mapping[str, str]) -> None:
    """charon refused them, by connection and reason: also a live one, when charon came back."""
    for revision in revisions:
        if reason := refused.get(connection_of(revision.tunnel_id)):
            Revision.objects.filter(pk=revision.pk).update(
                outcome=Outcome.FAILED,
                finished_at=timezone.now(),
                reason=f"The concentrator refused the configuration: {reason}.",
            )


def _end(revision: Revision, outcome: Outcome, reason: str) -> int:
    now = timezone.now()
    return _unfinished(revision).update(outcome=outcome, reason=reason, finished_at=now)


def _unfinished(revision: Revision) -> RevisionQuerySet:
    return Revision.objects.filter(pk=revision.pk, outcome__in=Revision.UNFINISHED)


def _record(revision: Revision, step: Step) -> None:
    line = {"at": timezone.now().isoformat(), "text": step.text, "ok": step.ok}
    revision.steps.append(line)
    Revision.objects.filter(pk=revision.pk).update(steps=revision.steps)
