"""Remote subnets of a draft."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.contrib.auth.models import User

from vpnportal.domain.addresses import inside
from vpnportal.domain.tunnel.spec import Problem, Translation
from vpnportal.models import Event, Subnet, Tunnel, record_event
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.quotas import Quota, refuse_over_quota
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

FIELD = "remote_subnets"


def add_remote_subnet(tunnel: Tunnel, network: IPv4Network, author: User) -> Subnet:
    """Add a remote subnet. Raises Refused if it overlaps one of the tunnel, or by the quota."""
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        for other in fresh.networks(*Subnet.Kind):
            if other == network:
                raise Refused(Problem(FIELD, f"{network} is already a subnet of this tunnel."))
            if other.overlaps(network):
                raise Refused(Problem(FIELD, f"{network} overlaps {other} of this tunnel."))
        subnet = customer_subnet(fresh.account_id, network)
        fresh.subnets.add(subnet)
        note_edits(fresh, [FIELD], author)
        record_subnet(fresh, author, FIELD, added=network)
    return subnet


def customer_subnet(account_id: int, network: IPv4Network) -> Subnet:
    """Return the customer subnet of a locked account, or add it. Raises Refused by the quota."""
    rows = Subnet.objects.filter(account=account_id, kind=Subnet.Kind.CUSTOMER)
    if row := rows.filter(network=network).first():
        return row
    refuse_over_quota(account_id, Quota.SUBNETS, field=FIELD)
    return rows.create(account_id=account_id, kind=Subnet.Kind.CUSTOMER, network=network)


def remove_remote_subnet(tunnel: Tunnel, subnet_id: int, author: User) -> tuple[Translation, ...]:
    """Remove a remote subnet; return translations whose customer address is in no remote subnet.

    A draft may keep these translations, but an apply refuses them. An unknown id is no error.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        row = fresh.subnets.filter(pk=subnet_id, kind=Subnet.Kind.CUSTOMER).first()
        if row is None:
            return ()
        detach(fresh, row)
        note_edits(fresh, [FIELD], author)
        record_subnet(fresh, author, FIELD, removed=row.network)
        remaining = fresh.networks(Subnet.Kind.CUSTOMER)
        translations = (translation.as_value() for translation in fresh.translations.all())
        return tuple(
            translation
            for translation in translations
            if inside(translation.customer, [row.network])
            and not inside(translation.customer, remaining)
        )


def record_subnet(
    tunnel: Tunnel,
    author: User,
    field: str,
    *,
    added: IPv4Network | None = None,
    removed: IPv4Network | None = None,
) -> None:
    """Record that a subnet was added to a draft or removed from it."""
    record_event(
        Event.Action.TUNNEL_SUBNETS_CHANGED,
        actor=author,
        tunnel=tunnel,
        before={field: removed} if removed else {},
        after={field: added} if added else {},
    )


def detach(tunnel: Tunnel, row: Subnet) -> None:
    """Detach a remote subnet from the tunnel, and delete it if no other tunnel uses it.

    The account must be locked: otherwise another tunnel could begin to use the deleted subnet.
    """
    tunnel.subnets.remove(row)
    if not row.tunnels.exists():
        row.delete()
