"""Networks at the customer's end that no tunnel protects, or not yet: programs make them first."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.contrib.auth.models import User
from django.db import transaction

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, Subnet, Tunnel
from vpnportal.services.errors import Refused
from vpnportal.services.remote_subnets import add_remote_subnet

# Whoever makes more of them in vain than somebody could attach has made a mistake.
MOST_UNUSED = 100
FIELD = "remote_subnets"


def make_customer_subnet(account: Account, network: IPv4Network) -> Subnet:
    """The account's row for this network, made if there was none; no tunnel protects it by that."""
    with transaction.atomic():
        rows = account.subnets.select_for_update().filter(kind=Subnet.Kind.CUSTOMER)
        if not rows.filter(network=network).exists() and rows.filter(tunnels=None).count() >= (
            MOST_UNUSED
        ):
            text = (
                f"This account has {MOST_UNUSED} customer subnets that no tunnel protects: attach "
                "or delete some of them first."
            )
            raise Refused(Problem(FIELD, text))
        row, _ = account.subnets.get_or_create(kind=Subnet.Kind.CUSTOMER, network=network)
    return row


def attach_customer_subnet(tunnel: Tunnel, row: Subnet, author: User) -> None:
    """Protect it; Refused where it overlaps, and then it is gone if no other tunnel protects it."""
    try:
        add_remote_subnet(tunnel, row.network, author)
    except Refused as refused:
        if any(problem.field == FIELD for problem in refused.problems):
            _delete_unused(row)
        raise


def delete_customer_subnet(row: Subnet) -> None:
    """Forget a network that no tunnel protects; Refused names one that does."""
    if not _delete_unused(row):
        names = ", ".join(row.tunnels.order_by("name").values_list("name", flat=True)[:3])
        text = f"{row} is protected by {names or 'a tunnel'}: remove it there first."
        raise Refused(Problem(FIELD, text))


def _delete_unused(row: Subnet) -> bool:
    with transaction.atomic():
        locked = Subnet.objects.select_for_update().filter(pk=row.pk)
        if not locked.exists() or row.tunnels.exists():
            return False
        row.delete()
    return True
