"""SoftLayer_Account: the customer that a key belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.serializers import (
    DataType,
    Relation,
    RelationLoader,
    SerializationContext,
    register_type,
)
from vpnportal.api.types.properties import column
from vpnportal.models import Account, Subnet


def own_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Return the subnets assigned to the account, without services shared by all accounts."""
    return lookup.provider_subnets(caller).exclude(account=None)


def private_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Return the hosted subnets of the account."""
    return own_subnets(caller).filter(kind=Subnet.Kind.HOSTED)


def _by_account(rows: Callable[[Caller], QuerySet[Any]]) -> RelationLoader:
    def load(
        serialization: SerializationContext, accounts: Sequence[Account]
    ) -> Sequence[list[Any]]:
        rows_by_account: dict[int, list[Any]] = defaultdict(list)
        for row in rows(serialization.caller):
            rows_by_account[row.account_id].append(row)
        return [rows_by_account[account.pk] for account in accounts]

    return load


SUBNET = "SoftLayer_Network_Subnet"

ACCOUNT = register_type(
    DataType(
        "SoftLayer_Account",
        {"id": column("pk"), "companyName": column("name")},
        {
            "networkTunnelContexts": Relation(
                "SoftLayer_Network_Tunnel_Module_Context", _by_account(lookup.visible_tunnels)
            ),
            "subnets": Relation(SUBNET, _by_account(own_subnets)),
            "privateSubnets": Relation(SUBNET, _by_account(private_subnets)),
        },
    )
)
