"""Items that are used once, and may have been used after the backup: a restore ends them."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.sessions.models import Session
from django.utils import timezone

from vpnportal.fields import Sealed
from vpnportal.gateway.steps import Step
from vpnportal.models import (
    Invitation,
    OutgoingMail,
    PeerProbe,
    Revision,
    TranslationImport,
    TunnelCommand,
)
from vpnportal.reconciler.step_log import log_entry

REASON = "Ended: the portal was restored from a backup."
TRIAL_REASON = "Health check cancelled: the portal was restored from a backup"
Outcome = Revision.Outcome


@dataclass(frozen=True, slots=True)
class EndedItems:
    """The number of items of each kind that a restore has ended."""

    sessions: int
    invitations: int
    tunnel_commands: int
    peer_probes: int
    trials: int
    mails: int
    imports: int

    def __str__(self) -> str:
        return (
            f"sessions: {self.sessions:,}, open invitations: {self.invitations:,}, "
            f"unfinished tunnel commands: {self.tunnel_commands:,}, "
            f"unfinished peer probes: {self.peer_probes:,}, health checks: {self.trials:,}, "
            f"waiting mails: {self.mails:,}, unfinished imports: {self.imports:,}"
        )


def end_items(alias: str) -> EndedItems:
    """End the items of a restored database that were open at the time of its backup.

    A live revision on trial stays live: its health was checked after the backup, and a second check
    could roll back a configuration that was kept.
    """
    now = timezone.now()
    sessions, _ = Session.objects.using(alias).all().delete()
    open_probes = (PeerProbe.State.QUEUED, PeerProbe.State.ASKING)
    return EndedItems(
        sessions=sessions,
        # Also expired links: a clock that is set back would open them.
        invitations=Invitation.objects.using(alias).unanswered().update(withdrawn_at=now),
        tunnel_commands=TunnelCommand.objects.using(alias)
        .filter(done_at=None)
        .update(done_at=now, ok=False, text=REASON),
        peer_probes=PeerProbe.objects.using(alias)
        .filter(state__in=open_probes)
        .update(state=PeerProbe.State.FAILED, reason=REASON, finished_at=now),
        trials=_end_trials(alias),
        # They may have been sent. The link in one is that of an ended invitation.
        mails=OutgoingMail.objects.using(alias)
        .exclude(next_try_at=None)
        .update(next_try_at=None, text=Sealed(), error=REASON),
        imports=TranslationImport.objects.using(alias)
        .unfinished()
        .update(
            state=TranslationImport.State.FAILED, problems=[REASON], changes=[], finished_at=now
        ),
    )


def _end_trials(alias: str) -> int:
    revisions = Revision.objects.using(alias)
    on_trial = list(revisions.filter(outcome=Outcome.LIVE).exclude(trial_ends_at=None))
    for revision in on_trial:
        steps = [*revision.steps, log_entry(Step("", TRIAL_REASON))]
        revisions.filter(pk=revision.pk).update(trial_ends_at=None, steps=steps)
        fallback = revisions.filter(tunnel_id=revision.tunnel_id, outcome=Outcome.FALLBACK)
        fallback.update(outcome=Outcome.REPLACED)
    return len(on_trial)
