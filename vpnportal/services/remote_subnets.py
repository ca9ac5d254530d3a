"""Edits of the networks at the customer's end that a draft protects."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.contrib.auth.models import User

from vpnportal.domain.addresses import inside
from vpnportal.domain.tunnel.spec import Problem, Translation
from vpnportal.models import Subnet, Tunnel
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit


def add_remote_subnet(tunnel: Tunnel, network: IPv4Network, author: User) -> Subnet:
    """Protect one more network of the customer's end; Refused where it overlaps one there."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        for other in fresh.networks(*Subnet.Kind):
            if other == network:
                raise Refused(Problem("remote_subnets", f"{network} is on this tunnel already."))
            if other.overlaps(network):
                text = f"{network} overlaps {other}, which this tunnel has already."
                raise Refused(Problem("remote_subnets", text))
        subnet, _ = Subnet.objects.get_or_create(
            account_id=fresh.account_id, kind=Subnet.Kind.CUSTOMER, network=network
        )
        fresh.subnets.add(subnet)
        note_edits(fresh, ["remote_subnets"], author)
    return subnet


def remove_remote_subnet(tunnel: Tunnel, subnet_id: int, author: User) -> tuple[Translation, ...]:
    """Stop protecting a network of the customer's end; already gone is fine.

    The answer has the translations that lead nowhere now: a draft may have them, Apply refuses.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        row = fresh.subnets.filter(pk=subnet_id, kind=Subnet.Kind.CUSTOMER).first()
        if row is None:
            return ()
        detach(fresh, row)
        note_edits(fresh, ["remote_subnets"], author)
        left = fresh.networks(Subnet.Kind.CUSTOMER)
        values = (translation.as_value() for translation in fresh.translations.all())
        return tuple(
            v for v in values if inside(v.customer, [row.network]) and not inside(v.customer, left)
        )


def detach(tunnel: Tunnel, row: Subnet) -> None:
    """Take a customer's network off a tunnel; one that no tunnel protects any more is deleted."""
    tunnel.subnets.remove(row)
    if not row.tunnels.exists():
        row.delete()
