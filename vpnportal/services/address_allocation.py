"""What is free in the pools of a concentrator; asked by one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from vpnportal.models import AddressPool, AddressRelease, Concentrator, Subnet, Tunnel

# A static NAT subnet that a tunnel is given has four addresses.
STATIC_NAT_PREFIX = 30


def lock_address_allocation() -> None:
    """Whoever gives addresses out waits here for whoever is at it, until the transaction ends.

    On SQLite an IMMEDIATE transaction is alone anyway, and this is a mere query.
    """
    rows = Concentrator.objects.select_for_update(no_key=True).order_by("pk")
    list(rows.values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class AllocatedAddresses:
    """What nobody may be given: hosted peer addresses, /30 blocks, and networks that hold many."""

    peers: frozenset[str]
    blocks: frozenset[IPv4Network]
    large: tuple[IPv4Network, ...]

    @classmethod
    def now(cls) -> AllocatedAddresses:
        """As it stands; four queries, however many concentrators are asked about afterwards."""
        peers = frozenset(
            (
                # What a tunnel has, or had and was not let go of yet.
                *Tunnel.objects.present().values_list("hosted_peer", flat=True),
                *AddressRelease.objects.open().values_list("hosted_peer", flat=True),
                *Concentrator.objects.values_list("public_address", flat=True),
            )
        )
        kinds = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE, Subnet.Kind.STATIC_NAT)
        networks = list(Subnet.objects.filter(kind__in=kinds).values_list("network", flat=True))
        small = frozenset(_block(one) for one in networks if one.prefixlen >= STATIC_NAT_PREFIX)
        large = tuple(one for one in networks if one.prefixlen < STATIC_NAT_PREFIX)
        return cls(peers, small, large)


def free_hosted_peer(concentrator: Concentrator, taken: AllocatedAddresses) -> IPv4Address | None:
    """The first address of the pools that is not taken."""
    pools = _networks(concentrator, AddressPool.Kind.HOSTED_PEER)
    hosts = (address for network in pools for address in network.hosts())
    return next((address for address in hosts if str(address) not in taken.peers), None)


def free_static_nat(concentrator: Concentrator, taken: AllocatedAddresses) -> IPv4Network | None:
    """The first /30 of the pools that overlaps no network of the provider's side."""
    for pool in _networks(concentrator, AddressPool.Kind.STATIC_NAT):
        # A smaller one cannot be divided.
        if pool.prefixlen > STATIC_NAT_PREFIX:
            continue
        near = [one for one in taken.large if one.overlaps(pool)]
        for block in pool.subnets(new_prefix=STATIC_NAT_PREFIX):
            if block not in taken.blocks and not any(one.overlaps(block) for one in near):
                return block
    return None


def _networks(concentrator: Concentrator, kind: AddressPool.Kind) -> list[IPv4Network]:
    return [row.network for row in concentrator.pools.filter(kind=kind).order_by("pk")]


def _block(network: IPv4Network) -> IPv4Network:
    if network.prefixlen == STATIC_NAT_PREFIX:
        return network
    return network.supernet(new_prefix=STATIC_NAT_PREFIX)
