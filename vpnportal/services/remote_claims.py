"""Reservation of remote networks by an apply, and its end for tunnels that were never up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from ipaddress import IPv4Address, summarize_address_range

from django.conf import settings
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Event, RemoteClaim, Revision, Tunnel, record_event
from vpnportal.models.remote_claims import claim_duration
from vpnportal.models.row_locks import lock_revisions

ENDED = (
    "The tunnel was not up within {days} days, so it no longer reserves {networks}, and another "
    "tunnel uses that now. Use another remote subnet, or switch on Translated access only. Then "
    "apply again."
)


def lock_revisions_to_end(tunnel: Tunnel, spec: TunnelSpec) -> dict[int, set[str]]:
    """Lock the revisions that an apply ends: the tunnel's own, and those with expired claims.

    Returns the networks that other tunnels lose to the specification, by tunnel id. The tunnel and
    its concentrator must be locked.
    """
    expired: dict[int, set[str]] = defaultdict(set)
    if not spec.translated_only:
        claims = RemoteClaim.objects.at(tunnel.concentrator).of_others(tunnel)
        taken = claims.expired().overlapping(spec.remote_subnets)
        for tunnel_id, first, last in taken.values_list("revision__tunnel", "first", "last"):
            (network,) = summarize_address_range(IPv4Address(first), IPv4Address(last))
            expired[tunnel_id].add(str(network))
    lock_revisions(Revision.objects.holding().filter(tunnel__in=[tunnel.pk, *expired]))
    return expired


def claim_networks(
    tunnel: Tunnel, revision: Revision, spec: TunnelSpec, expired: Mapping[int, set[str]]
) -> None:
    """Reserve the remote networks of a new revision, unless it has translated access only.

    Fails the revisions of tunnels that were never up, and whose time to claim a network is over:
    `expired` is from `lock_revisions_to_end`.
    """
    _limit(tunnel, revision)
    _end_expired(tunnel, revision, expired)
    RemoteClaim.objects.reserve(revision, spec)


def _limit(tunnel: Tunnel, revision: Revision) -> None:
    """Begin the time in which the tunnel must be up. Another apply does not begin it again."""
    networks = RemoteClaim.objects.held().filter(revision__tunnel=tunnel, is_peer=False)
    is_first = revision.number == 1
    if is_first or (tunnel.claims_until and not networks.exists()):
        until = timezone.now() + claim_duration()
        Tunnel.objects.filter(pk=tunnel.pk).update(claims_until=until)


def _end_expired(tunnel: Tunnel, revision: Revision, expired: Mapping[int, set[str]]) -> None:
    for tunnel_id, lost in expired.items():
        held = tunnel.concentrator.revisions.holding().filter(tunnel_id=tunnel_id)
        held.update(
            outcome=Revision.Outcome.FAILED,
            reason=ENDED.format(days=settings.CLAIM_DAYS, networks=", ".join(sorted(lost))),
            finished_at=timezone.now(),
            trial_ends_at=None,
        )
        loser = Tunnel.objects.only("name", "account_id", "concentrator_id").get(pk=tunnel_id)
        record_event(
            Event.Action.TUNNEL_CLAIMS_FREED,
            actor=revision.author,
            tunnel=loser,
            before={"networks": lost},
            after={"tunnel": tunnel.name},
        )
        tasks.request_converge(tunnel.concentrator, tunnel_id)
