"""Conflicts of a specification with other tunnels, and with networks of the provider.

Customers are strangers to each other. A text names the network that its reader entered, and neither
the tunnel of another account nor the part that overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from django.conf import settings

from vpnportal.domain.addresses import claim_objection
from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.models import (
    AddressPool,
    Concentrator,
    HeldTunnel,
    NetworkGrant,
    RemoteClaim,
    Subnet,
    Tunnel,
)
from vpnportal.services.quotas import Quota, quota_use, reserved_addresses

PROVIDER_KINDS = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE, Subnet.Kind.STATIC_NAT)
# The account and the name of the tunnel that has a claim.
OWNER = ("revision__tunnel__account", "revision__tunnel__name")
# The end of a refusal, by the plane of ESP.
WITH_KERNEL_ESP = (
    "Use another remote subnet, or switch on Translated access only: the tunnel then reserves none."
)
WITH_USERLAND_ESP = (
    "Use another remote subnet. Tunnels with equal subnets need a concentrator with ESP in the "
    "kernel: ask the service operators."
)


def conflicts(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield the reasons why the concentrator cannot configure the specification."""
    yield from own_conflicts(tunnel, spec)
    yield from conflicts_with_others(tunnel, spec)


def own_conflicts(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield the conflicts that say nothing about addresses of others."""
    yield from _unavailable_subnets(tunnel)
    yield from tunnel.concentrator.capabilities.problems(spec)
    if not spec.translated_only:
        yield from _not_granted(tunnel, spec)
        yield from _too_many_addresses(tunnel, spec)


def conflicts_with_others(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield the conflicts with other tunnels and with the provider: each names a used address."""
    yield from _same_peers(tunnel, spec)
    yield from _held_tunnels(tunnel, spec)
    if not spec.translated_only:
        yield from _claimed_subnets(tunnel, spec)
    if tunnel.concentrator.userland_esp:
        yield from _claimed_peer(tunnel, spec)
    yield from _provider_networks(spec)


def _unavailable_subnets(tunnel: Tunnel) -> Iterator[Problem]:
    """Yield a problem for each subnet of another account or of a location that the tunnel left."""
    own = Subnet.objects.filter(
        account=tunnel.account_id, kind__in=(Subnet.Kind.STATIC_NAT, Subnet.Kind.CUSTOMER)
    )
    available = (Subnet.objects.offered_to(tunnel) | own).filter(tunnels=tunnel)
    for subnet in tunnel.subnets.exclude(pk__in=available.values("pk")):
        is_own = subnet.account_id == tunnel.account_id
        reason = "is not at this location" if is_own else "does not belong to this account"
        field = "service_subnets" if subnet.kind == Subnet.Kind.SERVICE else "hosted_subnets"
        yield Problem(field, f"{subnet.network} {reason}. Remove it.")


def _held_tunnels(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each remote subnet of a tunnel that waits for an operator's choice.

    The gateway runs it, and the database has no claims of it.
    """
    held = HeldTunnel.objects.filter(concentrator=tunnel.concentrator)
    rows = held.exclude(tunnel_id=tunnel.pk).values_list("remote", flat=True)
    taken = [IPv4Network(text) for networks in rows for text in networks]
    for network in () if spec.translated_only else spec.remote_subnets:
        if any(network.overlaps(other) for other in taken):
            text = (
                f"{network} overlaps addresses of another tunnel of this concentrator, which waits "
                "for the service operators after a restore of the portal. Try again later."
            )
            yield Problem("remote_subnets", text)


def _same_peers(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem if another tunnel has the same pair of peer addresses.

    Charon selects preshared keys by the pair.
    """
    if spec.remote_peer is None:
        return
    claims = RemoteClaim.objects.at(tunnel.concentrator).of_others(tunnel).held()
    peers = claims.filter(is_peer=True, revision__hosted_peer=str(spec.hosted_peer))
    same = peers.overlapping([IPv4Network(spec.remote_peer)])
    if owners := set(same.values_list(*OWNER)):
        text = (
            f"{spec.hosted_peer} and {spec.remote_peer} are the peers of {_name(owners, tunnel)}. "
            "Two tunnels cannot have the same pair of peers."
        )
        yield Problem("remote_peer", text)


def _not_granted(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each network that is public or very large, and not granted."""
    for network in NetworkGrant.objects.missing(tunnel.account_id, spec.remote_subnets):
        text = (
            f"{network} {claim_objection(network, settings.CLAIM_PREFIX)}. Only the service "
            f"operators can reserve it for this account: ask them for a grant. {_remedy(tunnel)}"
        )
        yield Problem("remote_subnets", text)


def _too_many_addresses(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem if the account would reserve more addresses than before, and too many."""
    held = RemoteClaim.objects.held().filter(
        is_peer=False, revision__tunnel__account=tunnel.account_id
    )
    others = list(held.of_others(tunnel).values_list("first", "last"))
    needed = [(int(net.network_address), int(net.broadcast_address)) for net in spec.remote_subnets]
    use = quota_use(tunnel.account_id, Quota.ADDRESSES)
    if text := use.refusal(reserved_addresses([*others, *needed]) - use.used):
        yield Problem("remote_subnets", f"{text} {_translated_only(tunnel)}".rstrip())


def _translated_only(tunnel: Tunnel) -> str:
    if tunnel.concentrator.userland_esp:
        return ""
    return "With Translated access only, the tunnel reserves none."


def _claimed_subnets(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each remote subnet that other tunnels do not leave free.

    They claim remote subnets and the addresses of their peers. Untranslated packets reach one
    tunnel by the remote address alone.
    """
    claims = RemoteClaim.objects.at(tunnel.concentrator)
    own = claims.held().filter(revision__tunnel=tunnel, is_peer=False)
    in_force = claims.of_others(tunnel).in_force().overlapping(spec.remote_subnets)
    taken = list(in_force.values_list(*OWNER, "is_peer", "first", "last"))
    for network in spec.remote_subnets:
        first, last = int(network.network_address), int(network.broadcast_address)
        found = [row for row in taken if row[3] <= last and row[4] >= first]
        if found and all(is_peer for _, _, is_peer, *_ in found) and own.covering(network).exists():
            # The peers came after this tunnel's claim, which takes nothing away from them.
            continue
        if found:
            owners = {(account, name) for account, name, *_ in found}
            text = f"{network} overlaps addresses of {_name(owners, tunnel)}. {_remedy(tunnel)}"
            yield Problem("remote_subnets", text)


def _claimed_peer(tunnel: Tunnel, spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem if another tunnel claims the peer's address.

    Userland ESP routes by the remote address: IKE and ESP to the peer would enter that tunnel.
    """
    if spec.remote_peer is None:
        return
    claims = RemoteClaim.objects.at(tunnel.concentrator).of_others(tunnel).in_force()
    inside = claims.filter(is_peer=False).overlapping([IPv4Network(spec.remote_peer)])
    if owners := set(inside.values_list(*OWNER)):
        text = (
            f"{spec.remote_peer} is in a remote subnet of {_name(owners, tunnel)}, so it cannot be "
            "a peer of this concentrator. Ask the service operators for another concentrator."
        )
        yield Problem("remote_peer", text)


def _provider_networks(spec: TunnelSpec) -> Iterator[Problem]:
    """Yield a problem for each remote subnet that overlaps a network of the provider.

    The tunnel's route would divert packets for that network, or for that gateway, to the customer.
    """
    pools = list(AddressPool.objects.values_list("network", flat=True))
    public = Concentrator.objects.values_list("public_address", flat=True)
    gateways = {IPv4Address(address) for address in public} | {spec.hosted_peer}
    own = (*spec.hosted_subnets, *spec.static_nat_subnets)
    for network in spec.remote_subnets:
        if any(network.overlaps(other) for other in own):
            # `spec.problems()` reports these, with both networks.
            continue
        subnets = Subnet.objects.filter(kind__in=PROVIDER_KINDS).overlapping(network)
        if (
            any(address in network for address in gateways)
            or any(network.overlaps(pool) for pool in pools)
            or subnets.exists()
        ):
            text = f"{network} overlaps a network of the provider. Use another remote subnet."
            yield Problem("remote_subnets", text)


def _name(owners: set[tuple[int, str]], tunnel: Tunnel) -> str:
    """Return the name of a tunnel of the same account, or words for any other.

    `owners` are pairs of an account's id and the name of its tunnel.
    """
    names = sorted(name for account, name in owners if account == tunnel.account_id)
    return f"the tunnel {names[0]}" if names else "another tunnel of this concentrator"


def _remedy(tunnel: Tunnel) -> str:
    return WITH_USERLAND_ESP if tunnel.concentrator.userland_esp else WITH_KERNEL_ESP
