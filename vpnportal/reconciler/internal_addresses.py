"""The internal addresses of translations, of this and of earlier revisions and tunnels."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from ipaddress import IPv4Network, collapse_addresses

from vpnportal.models import AddressPool, Subnet


class InternalAddresses:
    """The container of all addresses that only the portal translates, as numbers.

    These are the static NAT subnets and the pools of such subnets: a pool also has the addresses of
    deleted tunnels. The database is read when the first address is looked up.
    """

    @cached_property
    def _networks(self) -> list[IPv4Network]:
        static_nat = Subnet.objects.filter(kind=Subnet.Kind.STATIC_NAT)
        pools = AddressPool.objects.filter(kind=AddressPool.Kind.STATIC_NAT)
        networks = [*static_nat.values_list("network", flat=True)]
        networks += pools.values_list("network", flat=True)
        # Sorted, and without overlaps.
        return list(collapse_addresses(networks))

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, int):
            return False
        at = bisect_right(self._networks, address, key=lambda row: int(row.network_address))
        return at > 0 and address <= int(self._networks[at - 1].broadcast_address)
