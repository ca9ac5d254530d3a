"""Search and sort order of tunnels, computed by the database."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from django.db.models import F, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Length, Lower, NullIf

from vpnportal.models import AddressTranslation, Revision, Tunnel


class AddressOrder(Func):
    """An IPv4 address as a sort key: the inet value in PostgreSQL, an integer in SQLite."""

    template = "%(expressions)s"
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        """Compute the address as an integer, from a JSON array of its four bytes."""
        array = "'[' || replace(%(expressions)s, '.', ',') || ']'"
        terms = [f"json_extract({array}, '$[{at}]') * {256 ** (3 - at)}" for at in range(4)]
        template = f"({' + '.join(terms)})"
        return super().as_sql(compiler, connection, template=template, **options)


def sort_keys() -> dict[str, tuple[Combinable, ...]]:
    """Return the sort expressions by column name of the tunnel list.

    The `rank` in the "state" column comes from `with_state_rank`.
    """
    live = Revision.objects.filter(tunnel=OuterRef("pk"), outcome=Revision.Outcome.LIVE)
    applied = live.order_by("-number").values("finished_at")[:1]
    return {
        # ipsec999 sorts before ipsec1000.
        "name": (Length("name"), Lower("name")),
        "tunnel-name": (NullIf(Lower("friendly_name"), Value("")),),
        "state": (F("rank"),),
        "remote-peer": (AddressOrder("remote_peer"),),
        "hosted-peer": (AddressOrder("hosted_peer"),),
        "location": (Lower("concentrator__datacenter__long_name"),),
        "account": (Lower("account__name"),),
        "applied": (Subquery(applied),),
    }


def find_tunnels(tunnels: QuerySet[Tunnel], text: str) -> QuerySet[Tunnel]:
    """Return the tunnels with the text in a name, the notes or an address.

    A complete address or network also finds the tunnels with a subnet that contains it.
    """
    in_text = Q(name__icontains=text) | Q(friendly_name__icontains=text) | Q(notes__icontains=text)
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        in_address = Q(hosted_peer__icontains=text) | Q(remote_peer__icontains=text)
        return tunnels.filter(in_text | in_address)
    return tunnels.filter(in_text | _reaches(network))


def _reaches(network: IPv4Network) -> Q:
    """Return a filter for tunnels with a subnet that contains the network.

    A single address (/32) also matches a peer address or a translation of a tunnel.
    """
    first, last = int(network.network_address), int(network.broadcast_address)
    containing = Tunnel.subnets.through.objects.filter(
        subnet__first__lte=first, subnet__last__gte=last
    )
    matches = Q(pk__in=containing.values("tunnel"))
    if network.prefixlen == 32:
        address = str(network.network_address)
        rows = AddressTranslation.objects.filter(
            Q(internal_address=address) | Q(customer_address=address)
        )
        matches |= Q(hosted_peer=address) | Q(remote_peer=address) | Q(pk__in=rows.values("tunnel"))
    return matches
