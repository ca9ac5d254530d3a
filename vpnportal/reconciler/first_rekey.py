"""The forced first rekey of IKEv2: done once for each revision, as soon as its tunnel is up."""

from __future__ import annotations

from django.db.models import Q

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.gateway.driver import GatewayDriver as Device
from vpnportal.models import Concentrator, Revision
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.reconciler import revision_outcomes
from vpnportal.reconciler.target import Target

Rekeyed = Revision.Rekeyed
# Each waits for its peer for a second and a half at most; the lane has other work.
AT_ONCE = 3


def due(concentrator: Concentrator) -> RevisionQuerySet:
    """Revisions of a concentrator whose tunnels were not seen up, or not rekeyed, yet."""
    news = Q(first_rekey=Rekeyed.DUE) | Q(first_up_at=None)
    return Revision.objects.filter(news, concentrator=concentrator, outcome=Revision.Outcome.LIVE)


def force(aim: Target, device: Device, seen: dict[int, SaStatus]) -> bool:
    """Rekey those that are up and were not yet; True when more are left than one turn allows."""
    ready = [
        one
        for one in aim.revisions
        if one.first_rekey == Rekeyed.DUE and seen.get(one.tunnel_id) is SaStatus.UP
    ]
    for revision in ready[:AT_ONCE]:
        with revision_outcomes.record_steps([revision]) as report:
            agreed = device.first_rekey(connection_of(revision.tunnel_id), report)
        if agreed is not None:
            word = Rekeyed.AGREED if agreed else Rekeyed.FAILED
            Revision.objects.filter(pk=revision.pk).update(first_rekey=word)
    return len(ready) > AT_ONCE
