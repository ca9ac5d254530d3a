"""Releases of addresses: an address is free once an observation shows nothing of its tunnel."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import chain

from django.db import transaction
from django.db.models import BigAutoField
from django.utils import timezone

from vpnportal.domain.addresses import inside
from vpnportal.domain.gateway_config.names import connection_of, connection_of_secret
from vpnportal.domain.planning.observed import Observed
from vpnportal.models import (
    AddressPool,
    AddressRelease,
    Concentrator,
    Revision,
    Subnet,
    Tunnel,
    TunnelMark,
)
from vpnportal.models.row_locks import lock_account, lock_subnets, lock_tunnel_at_gateway
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.reconciler.step_log import RowLogs


def release_logs(concentrator: Concentrator) -> RowLogs:
    """Return a step sink for the due releases: removing their tunnels is no drift repair."""
    return RowLogs(
        lambda: {
            connection_of(release.tunnel_id): release for release in concentrator.releases.due()
        }
    )


def complete_releases(concentrator: Concentrator, observed: Observed) -> None:
    """Complete the releases whose tunnels a full observation of the concentrator does not show."""
    for release in concentrator.releases.due():
        tunnel = Tunnel.objects.for_gateway().get(pk=release.tunnel_id)
        if not _is_present(tunnel, observed):
            complete(release)


def complete(release: AddressRelease) -> None:
    """Mark a release as done, and release the tunnel's mark at that concentrator.

    The last release of a deleted tunnel frees its subnets. The release ends last: with it, the
    gateway loses its right to the tunnel.
    """
    with transaction.atomic():
        lock_account(Tunnel.objects.values_list("account_id", flat=True).get(pk=release.tunnel_id))
        tunnel = lock_tunnel_at_gateway(release.tunnel_id)
        open_releases = AddressRelease.objects.open().filter(tunnel=tunnel)
        open_release = open_releases.filter(pk=release.pk)
        if not open_release.exists():
            return
        TunnelMark.objects.release(tunnel, release.concentrator)
        if tunnel.cancelled_at and not open_releases.exclude(pk=release.pk).exists():
            _free_subnets(tunnel)
        open_release.update(released_at=timezone.now())


def still_configured_on(concentrator: Concentrator, tunnel_id: int) -> list[Concentrator]:
    """Return the other concentrators to converge once the tunnel is live on this concentrator."""
    others = [release.concentrator for release in _due_elsewhere(concentrator.pk, tunnel_id)]
    live = concentrator.revisions.filter(tunnel_id=tunnel_id, outcome=Revision.Outcome.LIVE)
    return others if others and live.exists() else []


_due_elsewhere = PreparedQuery(
    lambda concentrator_id, tunnel_id: (
        AddressRelease.objects.due()
        .filter(tunnel_id=tunnel_id)
        .exclude(concentrator_id=concentrator_id)
        .select_related("concentrator")
    ),
    BigAutoField(),
    BigAutoField(),
)


def _is_present(tunnel: Tunnel, observed: Observed) -> bool:
    """Return True if charon, nftables, conntrack or the routes hold anything of the tunnel."""
    name = connection_of(tunnel.pk)
    networks = tunnel.networks(Subnet.Kind.STATIC_NAT)
    flowing = (flows.pair[0] for flows in observed.leftover_flows)
    return (
        name in observed.connections
        or any(ike_sa.connection == name for ike_sa in observed.ike_sas)
        or any(str(network) in observed.routes for network in networks)
        or any(connection_of_secret(secret) == name for secret in observed.secrets or ())
        or any(
            inside(IPv4Address(address), networks)
            for address in chain(observed.elements.internal_addresses(), flowing)
        )
    )


def _free_subnets(tunnel: Tunnel) -> None:
    """Detach all subnets of a tunnel, and delete those that no other tunnel uses.

    Only customer subnets and static NAT subnets from a pool are deleted.
    """
    static_nat = AddressPool.objects.filter(kind=AddressPool.Kind.STATIC_NAT)
    pools = [pool.network for pool in static_nat]
    lock_subnets(tunnel.subnets.all())
    subnets = list(tunnel.subnets.all())
    tunnel.subnets.clear()
    for subnet in subnets:
        is_pooled = any(subnet.network.subnet_of(pool) for pool in pools)
        is_freed = subnet.kind == Subnet.Kind.CUSTOMER or (
            subnet.kind == Subnet.Kind.STATIC_NAT and is_pooled
        )
        if is_freed and not subnet.tunnels.exists():
            subnet.delete()
