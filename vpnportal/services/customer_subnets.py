"""Remote subnets that legacy API clients create first and attach to a tunnel later."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.contrib.auth.models import User
from django.db import transaction

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, Event, Subnet, Tunnel, record_event
from vpnportal.models.row_locks import lock_account
from vpnportal.services.errors import Refused
from vpnportal.services.remote_subnets import add_remote_subnet, customer_subnet

# More subnets than a client would attach show a mistake of the client.
MAX_UNUSED = 100
FIELD = "remote_subnets"


def make_customer_subnet(account: Account, network: IPv4Network) -> Subnet:
    """Return the account's customer subnet with this network, or create it without a tunnel.

    Raises Refused if a new subnet is needed, and the account has MAX_UNUSED unused subnets or all
    that its quota allows.
    """
    with transaction.atomic():
        lock_account(account.pk)
        rows = account.subnets.filter(kind=Subnet.Kind.CUSTOMER)
        is_new = not rows.filter(network=network).exists()
        if is_new and rows.filter(tunnels=None).count() >= MAX_UNUSED:
            text = (
                f"This account has {MAX_UNUSED} unused customer subnets. "
                "Attach or delete some of them first."
            )
            raise Refused(Problem(FIELD, text))
        row = customer_subnet(account.pk, network)
        if is_new:
            record_event(Event.Action.SUBNET_CREATED, account=account, subject=str(network))
    return row


def attach_customer_subnet(tunnel: Tunnel, row: Subnet, author: User) -> None:
    """Add the network of a customer subnet to the tunnel's remote subnets.

    Raises Refused if the network cannot be added. If a problem has the
    field `FIELD`, the customer subnet is then deleted unless a tunnel uses it.
    """
    try:
        add_remote_subnet(tunnel, row.network, author)
    except Refused as refused:
        if any(problem.field == FIELD for problem in refused.problems):
            _delete_unused(row)
        raise


def delete_customer_subnet(row: Subnet) -> None:
    """Delete the subnet. Raises Refused if a tunnel uses it."""
    if not _delete_unused(row):
        names = ", ".join(row.tunnels.order_by("name").values_list("name", flat=True)[:3])
        text = f"{row} is used by {names or 'a tunnel'}. Remove it there first."
        raise Refused(Problem(FIELD, text))


def _delete_unused(row: Subnet) -> bool:
    with transaction.atomic():
        if row.account_id:
            lock_account(row.account_id)
        if not Subnet.objects.filter(pk=row.pk).exists() or row.tunnels.exists():
            return False
        row.delete()
        record_event(Event.Action.SUBNET_DELETED, account=row.account, subject=str(row.network))
    return True
