"""Reservation of remote networks by an apply, and its end for tunnels that were never up."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, summarize_address_range

from django.conf import settings
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Concentrator, RemoteClaim, Revision, Tunnel
from vpnportal.models.remote_claims import claim_duration

ENDED = (
    "The tunnel was not up within {days} days, so it no longer reserves {networks}, and another "
    "tunnel uses that now. Use another remote subnet, or switch on Translated access only. Then "
    "apply again."
)


def lock_claims(concentrator_id: int) -> Concentrator:
    """Return the concentrator, locked until the transaction ends.

    Of two applies that claim one network at once, the second thus sees the first. On SQLite no
    row is locked: an IMMEDIATE transaction already excludes other writers.
    """
    return Concentrator.objects.select_for_update(no_key=True).get(pk=concentrator_id)


def claim_networks(tunnel: Tunnel, revision: Revision, spec: TunnelSpec) -> None:
    """Reserve the remote networks of a new revision, unless it has translated access only.

    Fails the revisions of tunnels that were never up, and whose time to claim a network is over.
    """
    _limit(tunnel, revision)
    if not spec.translated_only:
        _end_expired(tunnel, spec)
    RemoteClaim.objects.reserve(revision, spec)


def _limit(tunnel: Tunnel, revision: Revision) -> None:
    """Begin the time in which the tunnel must be up. Another apply does not begin it again."""
    networks = RemoteClaim.objects.held().filter(revision__tunnel=tunnel, is_peer=False)
    is_first = revision.number == 1
    if is_first or (tunnel.claims_until and not networks.exists()):
        until = timezone.now() + claim_duration()
        Tunnel.objects.filter(pk=tunnel.pk).update(claims_until=until)


def _end_expired(tunnel: Tunnel, spec: TunnelSpec) -> None:
    claims = RemoteClaim.objects.at(tunnel.concentrator).of_others(tunnel)
    taken = claims.expired().overlapping(spec.remote_subnets)
    networks: dict[int, set[str]] = defaultdict(set)
    for tunnel_id, first, last in taken.values_list("revision__tunnel", "first", "last"):
        (network,) = summarize_address_range(IPv4Address(first), IPv4Address(last))
        networks[tunnel_id].add(str(network))
    for tunnel_id, lost in networks.items():
        held = tunnel.concentrator.revisions.holding().filter(tunnel_id=tunnel_id)
        held.update(
            outcome=Revision.Outcome.FAILED,
            reason=ENDED.format(days=settings.CLAIM_DAYS, networks=", ".join(sorted(lost))),
            finished_at=timezone.now(),
            trial_ends_at=None,
        )
        tasks.request_converge(tunnel.concentrator, tunnel_id)
