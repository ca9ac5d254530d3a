"""Letting go: a place that a tunnel left is free once its concentrator was seen without it."""

from __future__ import annotations

from ipaddress import IPv4Address

from django.db import transaction
from django.utils import timezone

from vpnportal.domain.addresses import inside
from vpnportal.domain.gateway_config.names import connection_of, connection_of_secret
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap
from vpnportal.domain.planning.observed import Observed
from vpnportal.gateway.steps import Report
from vpnportal.models import AddressPool, AddressRelease, Concentrator, Revision, Subnet, Tunnel
from vpnportal.reconciler import step_log


def recorder(concentrator: Concentrator, otherwise: Report) -> Report:
    """Steps that take a tunnel off belong to its departure; they are no drift."""
    return step_log.route_steps(
        lambda: {connection_of(one.tunnel_id): one for one in concentrator.releases.due()},
        otherwise,
    )


def complete_releases(concentrator: Concentrator, observed: Observed) -> None:
    """Give back what those tunnels had that a look at the whole concentrator did not find there."""
    for departure in concentrator.releases.due().select_related("tunnel"):
        if not _is_there(departure.tunnel, observed):
            complete(departure)


def complete(departure: AddressRelease) -> None:
    """The concentrator has let go; after the last one a cancelled tunnel gives its subnets back."""
    with transaction.atomic():
        still_open = AddressRelease.objects.open().filter(pk=departure.pk)
        if still_open.update(released_at=timezone.now()):
            tunnel = departure.tunnel
            if tunnel.cancelled_at and not tunnel.releases.open().exists():
                _give_back(tunnel)


def still_configured_on(concentrator: Concentrator, tunnel_id: int) -> list[Concentrator]:
    """Other concentrators that hold a tunnel still, although a revision is live on this one."""
    due = (
        AddressRelease.objects.due().filter(tunnel_id=tunnel_id).exclude(concentrator=concentrator)
    )
    elsewhere = [departure.concentrator for departure in due.select_related("concentrator")]
    live_here = concentrator.revisions.filter(tunnel_id=tunnel_id, outcome=Revision.Outcome.LIVE)
    return elsewhere if elsewhere and live_here.exists() else []


def _is_there(tunnel: Tunnel, observed: Observed) -> bool:
    """Whether charon or nftables holds anything of the tunnel."""
    name = connection_of(tunnel.pk)
    networks = tunnel.networks(Subnet.Kind.STATIC_NAT)
    return (
        name in observed.connections
        or any(sa.connection == name for sa in observed.ike_sas)
        or any(connection_of_secret(secret) == name for secret in observed.secrets or ())
        or any(inside(IPv4Address(_internal(one)), networks) for one in observed.elements)
    )


def _internal(element: NatElement) -> int:
    return element.key if element.map is NatMap.INBOUND else element.value


def _give_back(tunnel: Tunnel) -> None:
    """Blocks from a pool are free again; a block that came from elsewhere stays the account's."""
    pools = [pool.network for pool in AddressPool.objects.filter(kind=AddressPool.Kind.STATIC_NAT)]
    rows = list(tunnel.subnets.all())
    tunnel.subnets.clear()
    for row in rows:
        pooled = any(row.network.subnet_of(pool) for pool in pools)
        returns = row.kind == Subnet.Kind.CUSTOMER or (
            row.kind == Subnet.Kind.STATIC_NAT and pooled
        )
        if returns and not row.tunnels.exists():
            row.delete()
