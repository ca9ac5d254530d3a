"""The forced first rekey of IKEv2: once per revision, as soon as its tunnel is up.

IKEv2 negotiates the PFS group only in a rekey (RFC 7296, 1.2). Without the forced rekey a mismatch
would show after an hour.
"""

from __future__ import annotations

from django.db.models import Q

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.models import Concentrator, Revision
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.reconciler.step_log import RevisionLogs, StepRouter
from vpnportal.reconciler.target import Target

Rekeyed = Revision.Rekeyed
# A rekey waits up to 1.5 s for the peer, and other tunnels wait behind it in the queue.
MAX_PER_CONVERGE = 3


def due(concentrator: Concentrator) -> RevisionQuerySet:
    """Return the live revisions that were never seen up or whose first rekey is due."""
    is_due = Q(first_rekey=Rekeyed.DUE) | Q(first_up_at=None)
    return Revision.objects.filter(is_due, concentrator=concentrator, outcome=Revision.Outcome.LIVE)


def force(target: Target, driver: GatewayDriver, status: dict[int, SaStatus]) -> bool:
    """Rekey the due tunnels that are up. Return True if some are left for the next converge."""
    ready = [
        revision
        for revision in target.revisions
        if revision.first_rekey == Rekeyed.DUE and status.get(revision.tunnel_id) is SaStatus.UP
    ]
    for revision in ready[:MAX_PER_CONVERGE]:
        with RevisionLogs([revision]) as logs:
            agreed = driver.first_rekey(connection_of(revision.tunnel_id), StepRouter(logs))
        if agreed is not None:
            outcome = Rekeyed.AGREED if agreed else Rekeyed.FAILED
            Revision.objects.filter(pk=revision.pk).update(first_rekey=outcome)
    return len(ready) > MAX_PER_CONVERGE
