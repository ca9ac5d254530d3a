"""Search in the tunnels of the list, computed by the database from indexes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from ipaddress import IPv4Network
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Upper

from vpnportal.models import AddressTranslation, Subnet, Tunnel, TunnelSummary

# Matches up to this number are found once, and named in the queries that follow.
MAX_NAMED = 1000


def find_tunnels(summaries: QuerySet[TunnelSummary], text: str) -> QuerySet[TunnelSummary]:
    """Return the tunnels with the text in a name, the notes or an address.

    A complete address or network also finds the tunnels with a subnet that contains it.
    """
    in_text = Q(names__contains=Upper(Value(text)))
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        return summaries.filter(_named(in_text | Q(peers__contains=text)))
    conditions = [in_text]
    tunnels = [_containing(network)]
    if network.prefixlen == 32:
        address = str(network.network_address)
        conditions.append(Q(peers__contains=f" {address} "))
        tunnels += [
            AddressTranslation.objects.filter(**{column: address}).order_by()
            for column in ("internal_address", "customer_address")
        ]
    return summaries.filter(_named(*conditions, tunnels=tunnels))


def _named(*conditions: Q, tunnels: Sequence[QuerySet[Any]] = ()) -> Q:
    """Return the condition of summaries that meet a condition, or have a row in one of `tunnels`.

    Each part alone has an index, and PostgreSQL uses none of them for all parts at once. So the
    matches are read first. With many of them, the query reads all summaries.
    """
    related = [rows.values_list("tunnel", flat=True) for rows in tunnels]
    parts: list[QuerySet[Any, Any]] = [
        TunnelSummary.objects.filter(condition).values_list("tunnel", flat=True)
        for condition in conditions
    ]
    first, *rest = parts + related
    matches = first.union(*rest, all=True) if rest else first
    pks = list(matches[: MAX_NAMED + 1])
    if len(pks) <= MAX_NAMED:
        return Q(pk__in=pks)
    return reduce(or_, (*conditions, *(Q(pk__in=part) for part in related)))


def _containing(network: IPv4Network) -> QuerySet[Any]:
    """Return the links of tunnels to subnets that contain the network."""
    subnets = Subnet.objects.filter(kind__in=Subnet.Kind.values).containing(network)
    return Tunnel.subnets.through.objects.filter(subnet__in=subnets)
