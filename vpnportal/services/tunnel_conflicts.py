"""What other tunnels and networks leave no room for: one specification cannot know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.models import AddressPool, Concentrator, RemoteClaim, Revision, Subnet, Tunnel
from vpnportal.models.revisions import RevisionQuerySet

OWN = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE, Subnet.Kind.STATIC_NAT)


def conflicts(tunnel: Tunnel, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """Why the concentrator could not keep this tunnel apart from others, or from itself.

    Another tunnel is named only to a reader who may see it.
    """
    others = (
        Revision.objects.holding()
        .filter(concentrator_id=tunnel.concentrator_id)
        .exclude(tunnel=tunnel)
    )
    yield from _foreign_subnets(tunnel)
    yield from tunnel.concentrator.capabilities.problems(spec)
    yield from _shared_ends(others, spec, reader)
    yield from _shared_networks(others, spec, reader)
    yield from _own_networks(spec)
    yield from _gateways(tunnel, spec)


def _foreign_subnets(tunnel: Tunnel) -> Iterator[Problem]:
    """Also those of another location, which a tunnel that was moved has left behind."""
    rest = Subnet.objects.filter(
        account=tunnel.account_id, kind__in=(Subnet.Kind.STATIC_NAT, Subnet.Kind.CUSTOMER)
    )
    may_have = Subnet.objects.offered_to(tunnel) | rest
    for subnet in tunnel.subnets.exclude(pk__in=may_have.values("pk")):
        whose = "at this location" if subnet.account_id == tunnel.account_id else "this account's"
        field = "service_subnets" if subnet.kind == Subnet.Kind.SERVICE else "hosted_subnets"
        yield Problem(field, f"{subnet.network} is not {whose}: remove it.")


def _shared_ends(others: RevisionQuerySet, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """charon looks preshared keys up by the pair of identities."""
    same = others.filter(hosted_peer=str(spec.hosted_peer), remote_peer=str(spec.remote_peer))
    holder = same.first()
    if holder is not None:
        text = (
            f"From {spec.hosted_peer} to {spec.remote_peer} there is {_named(holder, reader)} "
            "already, and two tunnels cannot share both ends."
        )
        yield Problem("remote_peer", text)


def _shared_networks(others: RevisionQuerySet, spec: TunnelSpec, reader: User) -> Iterator[Problem]:
    """The userland data plane picks the tunnel by the remote network alone."""
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
            text = f"{network} overlaps a network of {_named(claim.revision, reader)}."
            yield Problem("remote_subnets", text)


def _own_networks(spec: TunnelSpec) -> Iterator[Problem]:
    """A route to the customer would take the servers' packets away, whoever's they are."""
    pools = list(AddressPool.objects.values_list("network", flat=True))
    own = (*spec.hosted_subnets, *spec.static_nat_subnets)
    for network in spec.remote_subnets:
        if any(network.overlaps(other) for other in own):
            # The specification says so itself, with both names.
            continue
        subnets = Subnet.objects.filter(
            kind__in=OWN,
            first__lte=int(network.broadcast_address),
            last__gte=int(network.network_address),
        )
        if subnets.exists() or any(network.overlaps(pool) for pool in pools):
            text = f"{network} overlaps a network at this end: the other end needs another one."
            yield Problem("remote_subnets", text)


def _gateways(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """A translation, or a route, must not lead to the gateway itself."""
    addresses = {IPv4Address(one) for one in _public_addresses()} | {spec.hosted_peer}
    for network in spec.remote_subnets:
        if taken := sorted(address for address in addresses if address in network):
            text = f"{network} has {taken[0]} in it, which is a gateway at this end."
            yield Problem("remote_subnets", text)


def _public_addresses() -> Iterable[str]:
    return Concentrator.objects.values_list("public_address", flat=True)


def _named(revision: Revision, reader: User) -> str:
    tunnel = Tunnel.objects.visible_to(reader).filter(pk=revision.tunnel_id).first()
    return f"the tunnel {tunnel.name}" if tunnel else "another tunnel of this concentrator"
