"""Tunnels by what somebody typed, and in the order of a column; everything in the database."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from django.db.models import F, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Length, Lower, NullIf

from vpnportal.models import AddressTranslation, Revision, Tunnel


class AsNumber(Func):
    """An IPv4 address in its place among others: PostgreSQL's inet knows it, SQLite's text not."""

    template = "%(expressions)s"
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        """The four numbers as one, by way of a JSON array of them."""
        listed = "'[' || replace(%(expressions)s, '.', ',') || ']'"
        byte = [f"json_extract({listed}, '$[{at}]') * {256 ** (3 - at)}" for at in range(4)]
        template = f"({' + '.join(byte)})"
        return super().as_sql(compiler, connection, template=template, **options)


def orders() -> dict[str, tuple[Combinable, ...]]:
    """What each column is sorted by; `rank` is of `words.ranked`."""
    live = Revision.objects.filter(tunnel=OuterRef("pk"), outcome=Revision.Outcome.LIVE)
    applied = live.order_by("-number").values("finished_at")[:1]
    return {
        # ipsec999 comes before ipsec1000.
        "name": (Length("name"), Lower("name")),
        "tunnel-name": (NullIf(Lower("friendly_name"), Value("")),),
        "state": (F("rank"),),
        "remote-peer": (AsNumber("remote_peer"),),
        "hosted-peer": (AsNumber("hosted_peer"),),
        "location": (Lower("concentrator__datacenter__long_name"),),
        "account": (Lower("account__name"),),
        "applied": (Subquery(applied),),
    }


def find(tunnels: QuerySet[Tunnel], text: str) -> QuerySet[Tunnel]:
    """Those with the text in a name or their notes, or with an address that it is or begins."""
    found = Q(name__icontains=text) | Q(friendly_name__icontains=text) | Q(notes__icontains=text)
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        return tunnels.filter(
            found | Q(hosted_peer__icontains=text) | Q(remote_peer__icontains=text)
        )
    return tunnels.filter(found | _leading_to(network))


def _leading_to(network: IPv4Network) -> Q:
    """A subnet of either end holds all of it; or it is one address, and a peer's or translated."""
    first, last = int(network.network_address), int(network.broadcast_address)
    holders = Tunnel.subnets.through.objects.filter(
        subnet__first__lte=first, subnet__last__gte=last
    )
    found = Q(pk__in=holders.values("tunnel"))
    if network.prefixlen == 32:
        address = str(network.network_address)
        rows = AddressTranslation.objects.filter(
            Q(internal_address=address) | Q(customer_address=address)
        )
        found |= Q(hosted_peer=address) | Q(remote_peer=address) | Q(pk__in=rows.values("tunnel"))
    return found
