"""Free addresses of a concentrator: hosted peer addresses and static NAT subnets."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from django.db.models import Count

from vpnportal.models import (
    AddressPool,
    AddressRelease,
    Concentrator,
    HeldTunnel,
    Subnet,
    Tunnel,
    TunnelMark,
)
from vpnportal.models.tunnel_marks import MARKS

# A tunnel gets a static NAT subnet of four addresses.
STATIC_NAT_PREFIX = 30


@dataclass(frozen=True, slots=True)
class AllocatedAddresses:
    """Addresses in use: hosted peer addresses, /30 blocks, and networks larger than a /30.

    `without_marks` has the ids of the concentrators that have no mark left.
    """

    peers: frozenset[str]
    blocks: frozenset[IPv4Network]
    large: tuple[IPv4Network, ...]
    without_marks: frozenset[int]

    def has_mark(self, concentrator: Concentrator) -> bool:
        """Return True if the concentrator has a mark for another tunnel."""
        return concentrator.pk not in self.without_marks

    @classmethod
    def now(cls) -> AllocatedAddresses:
        """Read the addresses in use, in six queries for all concentrators."""
        held = list(HeldTunnel.objects.values_list("hosted_peer", "static_nat"))
        peers = frozenset(
            (
                *(hosted_peer for hosted_peer, _ in held if hosted_peer),
                *Tunnel.objects.present().values_list("hosted_peer", flat=True),
                *AddressRelease.objects.open().values_list("hosted_peer", flat=True),
                *Concentrator.objects.values_list("public_address", flat=True),
            )
        )
        kinds = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE, Subnet.Kind.STATIC_NAT)
        networks = list(Subnet.objects.filter(kind__in=kinds).values_list("network", flat=True))
        networks += [IPv4Network(text) for _, static_nat in held for text in static_nat]
        small = [network for network in networks if network.prefixlen >= STATIC_NAT_PREFIX]
        large = [network for network in networks if network.prefixlen < STATIC_NAT_PREFIX]
        marks = TunnelMark.objects.values("concentrator").annotate(count=Count("pk"))
        full = marks.filter(count__gte=len(MARKS)).values_list("concentrator", flat=True)
        blocks = frozenset(_block_of(network) for network in small)
        return cls(peers, blocks, tuple(large), frozenset(full))


def free_hosted_peer(
    concentrator: Concentrator, allocated: AllocatedAddresses
) -> IPv4Address | None:
    """Return the first free hosted peer address of the concentrator, or None if all are in use."""
    pools = _pools(concentrator, AddressPool.Kind.HOSTED_PEER)
    hosts = (address for network in pools for address in network.hosts())
    return next((address for address in hosts if str(address) not in allocated.peers), None)


def free_static_nat(
    concentrator: Concentrator, allocated: AllocatedAddresses
) -> IPv4Network | None:
    """Return the first /30 of the pools that overlaps no network of the provider, or None."""
    for pool in _pools(concentrator, AddressPool.Kind.STATIC_NAT):
        if pool.prefixlen > STATIC_NAT_PREFIX:
            continue
        large = [network for network in allocated.large if network.overlaps(pool)]
        for block in pool.subnets(new_prefix=STATIC_NAT_PREFIX):
            if block not in allocated.blocks and not any(block.overlaps(other) for other in large):
                return block
    return None


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The addresses that the pools of one kind have for new tunnels: those left, and all.

    They are hosted peer addresses, or static NAT subnets of four addresses.
    """

    concentrator: str
    kind: AddressPool.Kind
    free: int
    total: int


def pool_uses() -> list[PoolUse]:
    """Return the use of both kinds of pools of each concentrator, in a constant number of queries.

    A kind without a pool has a total of 0.
    """
    allocated, kinds = AllocatedAddresses.now(), AddressPool.Kind
    uses = []
    for concentrator in Concentrator.objects.order_by("name").prefetch_related("pools"):
        pools = concentrator.pools.all()
        peers = [pool.network for pool in pools if pool.kind == kinds.HOSTED_PEER]
        blocks = [pool.network for pool in pools if pool.kind == kinds.STATIC_NAT]
        for kind, counts in (
            (kinds.HOSTED_PEER, [_count_peers(pool, allocated) for pool in peers]),
            (kinds.STATIC_NAT, [_count_blocks(pool, allocated) for pool in blocks]),
        ):
            free, total = (sum(column) for column in zip((0, 0), *counts, strict=True))
            uses.append(PoolUse(concentrator.name, kind, free, total))
    return uses


def _count_peers(pool: IPv4Network, allocated: AllocatedAddresses) -> tuple[int, int]:
    """Return the numbers of free addresses and of all, as `free_hosted_peer` finds them."""
    ends = (pool.network_address, pool.broadcast_address) if pool.prefixlen < 31 else ()
    total = pool.num_addresses - len(ends)
    peers = map(IPv4Address, allocated.peers)
    return total - sum(peer in pool and peer not in ends for peer in peers), total


def _count_blocks(pool: IPv4Network, allocated: AllocatedAddresses) -> tuple[int, int]:
    """Return the numbers of free /30 and of all, as `free_static_nat` finds them."""
    if pool.prefixlen > STATIC_NAT_PREFIX:
        return 0, 0
    block_size = 2 ** (32 - STATIC_NAT_PREFIX)
    total = pool.num_addresses // block_size
    if any(network.supernet_of(pool) for network in allocated.large):
        return 0, total
    networks = (*allocated.blocks, *allocated.large)
    used = collapse_addresses(network for network in networks if network.subnet_of(pool))
    return total - sum(network.num_addresses for network in used) // block_size, total


def _pools(concentrator: Concentrator, kind: AddressPool.Kind) -> list[IPv4Network]:
    return [pool.network for pool in concentrator.pools.filter(kind=kind).order_by("pk")]


def _block_of(network: IPv4Network) -> IPv4Network:
    if network.prefixlen == STATIC_NAT_PREFIX:
        return network
    return network.supernet(new_prefix=STATIC_NAT_PREFIX)
