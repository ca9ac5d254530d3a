"""Conflicts of a specification with other tunnels, and with networks of the provider."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.models import AddressPool, Concentrator, RemoteClaim, Revision, Subnet, Tunnel
from vpnportal.models.revisions import RevisionQuerySet

PROVIDER_KINDS = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE, Subnet.Kind.STATIC_NAT)


def conflicts(tunnel: Tunnel, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """Yield the reasons why the concentrator cannot configure the specification.

    A problem names another tunnel only if the reader may see that tunnel.
    """
    others = (
        Revision.objects.holding()
        .filter(concentrator_id=tunnel.concentrator_id)
        .exclude(tunnel=tunnel)
    )
    yield from _unavailable_subnets(tunnel)
    yield from tunnel.concentrator.capabilities.problems(spec)
    yield from _same_peers(others, spec, reader)
    yield from _claimed_subnets(others, spec, reader)
    yield from _provider_networks(spec)
    yield from _gateway_addresses(spec)


def _unavailable_subnets(tunnel: Tunnel) -> Iterator[Problem]:
    """Yield a problem for each subnet of another account or of a location that the tunnel left."""
    own = Subnet.objects.filter(
        account=tunnel.account_id, kind__in=(Subnet.Kind.STATIC_NAT, Subnet.Kind.CUSTOMER)
    )
    available = Subnet.objects.offered_to(tunnel) | own
    for subnet in tunnel.subnets.exclude(pk__in=available.values("pk")):
        is_own = subnet.account_id == tunnel.account_id
        reason = "is not at this location" if is_own else "does not belong to this account"
        field = "service_subnets" if subnet.kind == Subnet.Kind.SERVICE else "hosted_subnets"
        yield Problem(field, f"{subnet.network} {reason}. Remove it.")


def _same_peers(others: RevisionQuerySet, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """Yield a problem if another tunnel has the same pair of peer addresses.

    Charon selects preshared keys by the pair.
    """
    peers = others.filter(hosted_peer=str(spec.hosted_peer), remote_peer=str(spec.remote_peer))
    other = peers.first()
    if other is not None:
        text = (
            f"{spec.hosted_peer} and {spec.remote_peer} are the peers of {_name(other, reader)}. "
            "Two tunnels cannot have the same pair of peers."
        )
        yield Problem("remote_peer", text)


def _claimed_subnets(others: RevisionQuerySet, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """Yield a problem for each remote subnet that overlaps a remote subnet of another tunnel.

    User-space ESP selects a tunnel by remote subnet alone.
    """
    for network in spec.remote_subnets:
        claim = (
            RemoteClaim.objects.filter(
                revision__in=others,
                first__lte=int(network.broadcast_address),
                last__gte=int(network.network_address),
            )
            .select_related("revision")
            .first()
        )
        if claim is not None:
            text = f"{network} overlaps a remote subnet of {_name(claim.revision, reader)}."
            yield Problem("remote_subnets", text)


def _provider_networks(spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each remote subnet that overlaps a network of the provider.

    The tunnel's route would divert packets for that network to the customer.
    """
    pools = list(AddressPool.objects.values_list("network", flat=True))
    own = (*spec.hosted_subnets, *spec.static_nat_subnets)
    for network in spec.remote_subnets:
        if any(network.overlaps(other) for other in own):
            # `spec.problems()` reports these, with both networks.
            continue
        subnets = Subnet.objects.filter(
            kind__in=PROVIDER_KINDS,
            first__lte=int(network.broadcast_address),
            last__gte=int(network.network_address),
        )
        if subnets.exists() or any(network.overlaps(pool) for pool in pools):
            text = f"{network} overlaps a network of the provider. Use another remote subnet."
            yield Problem("remote_subnets", text)


def _gateway_addresses(spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each remote subnet that contains a gateway address of the provider.

    The tunnel's route would divert packets for that gateway.
    """
    public = Concentrator.objects.values_list("public_address", flat=True)
    addresses = {IPv4Address(address) for address in public} | {spec.hosted_peer}
    for network in spec.remote_subnets:
        if contained := sorted(address for address in addresses if address in network):
            text = f"{network} contains {contained[0]}, a gateway address of the provider."
            yield Problem("remote_subnets", text)


def _name(revision: Revision, reader: User) -> str:
    tunnel = Tunnel.objects.visible_to(reader).filter(pk=revision.tunnel_id).first()
    return f"the tunnel {tunnel.name}" if tunnel else "another tunnel of this concentrator"
