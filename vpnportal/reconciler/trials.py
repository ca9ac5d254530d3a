"""Apply, keep if healthy: when the time is up, the tunnel is up, or the last good revision is back.

All of it lies in the database, so it does not matter who died meanwhile: whoever converges next
after the time is up judges.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.gateway.driver import GatewayDriver as Device
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator, RemoteClaim, Revision, Tunnel
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.reconciler import revision_outcomes

Outcome = Revision.Outcome
NOT_UP = {
    SaStatus.PARTIAL: "up only in part",
    SaStatus.CONNECTING: "still connecting",
    SaStatus.DOWN: "down",
}
# The longest trial that anybody may ask for.
TRIAL_MOST = timedelta(hours=1)


def due(concentrator: Concentrator, tunnel_id: int | None = None) -> RevisionQuerySet:
    """Revisions of a concentrator, or of one tunnel, whose time is up."""
    now = timezone.now()
    # One that ends later than any could was begun before the clock was set back.
    latest = now + TRIAL_MOST
    over_by_now = Q(trial_ends_at__lte=now) | Q(trial_ends_at__gt=latest)
    found = Revision.objects.filter(over_by_now, concentrator=concentrator, outcome=Outcome.LIVE)
    return found if tunnel_id is None else found.filter(tunnel_id=tunnel_id)


def cancel(tunnel: Tunnel) -> None:
    """What is live stays without being judged: whoever disconnects a tunnel tries nothing more."""
    live = Revision.objects.filter(tunnel=tunnel, outcome=Outcome.LIVE)
    for revision in live.exclude(trial_ends_at=None):
        _keep(revision, "Its trial was called off when the tunnel was disconnected")


def evaluate(revision: Revision, device: Device, observed: Observed) -> bool:
    """Keep the revision, or take it back; True when something else must be applied now."""
    complaint = _complaint(revision, device, observed)
    with transaction.atomic():
        if not due(revision.concentrator, revision.tunnel_id).filter(pk=revision.pk).exists():
            return False
        if complaint:
            _roll_back(revision, complaint)
        else:
            _keep(revision, "Healthy when its time was up: it stays")
    return bool(complaint)


def _complaint(revision: Revision, device: Device, observed: Observed) -> str:
    """What is not healthy about it, or ""."""
    name = connection_of(revision.tunnel_id)
    running = [sa for sa in observed.ike_sas if sa.connection == name]
    loaded = {key: value for key, value in observed.connections.items() if key == name}
    word = sa_status_by_tunnel(loaded, running).get(revision.tunnel_id, SaStatus.DOWN)
    if word is SaStatus.OLDER:
        return "the other end did not take the new settings"
    if word is not SaStatus.UP:
        return f"the tunnel was {NOT_UP[word]}"
    if revision.trial_ping and not _answers(revision, device, observed):
        return f"{revision.trial_ping} did not answer"
    return ""


def _answers(revision: Revision, device: Device, observed: Observed) -> bool:
    """A packet goes through the tunnel only if it comes from a hosted network."""
    hosted = revision.spec().hosted_subnets
    found = (
        observed.addresses.first_in(network) or observed.loopback_addresses.first_in(network)
        for network in hosted
    )
    return device.ping(IPv4Address(revision.trial_ping), frozenset(one for one in found if one))


def _keep(revision: Revision, why: str) -> None:
    revision_outcomes.append_step([revision], Step("", why))
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=None)
    _fallback(revision).update(outcome=Outcome.REPLACED)


def _roll_back(revision: Revision, complaint: str) -> None:
    last_good = _fallback(revision).order_by("-number").first()
    text = f"After {revision.trial_seconds} seconds {complaint}, so it was taken back."
    Revision.objects.filter(pk=revision.pk).update(
        outcome=Outcome.WITHDRAWN, reason=text, trial_ends_at=None, finished_at=timezone.now()
    )
    if last_good is None:
        return
    spec = last_good.spec()
    again = Revision.next_for(revision.tunnel, spec, author=None)
    again.concentrator = last_good.concentrator
    again.restored_number = last_good.number
    again.save()
    RemoteClaim.objects.bulk_create([RemoteClaim.of(again, one) for one in spec.remote_subnets])
    _fallback(revision).update(outcome=Outcome.REPLACED)


def _fallback(revision: Revision) -> RevisionQuerySet:
    return Revision.objects.filter(tunnel_id=revision.tunnel_id, outcome=Outcome.FALLBACK)
