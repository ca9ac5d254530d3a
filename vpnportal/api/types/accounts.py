"""SoftLayer_Account: the customer that a key belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.serializers import DataType, Load, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column
from vpnportal.models import Account, Subnet


def own_subnets(caller: Caller) -> QuerySet[Subnet]:
    """What the provider has assigned to the account; services that are everybody's are not its."""
    return lookup.subnets(caller).exclude(account=None)


def private_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Those among them in which there are servers."""
    return own_subnets(caller).filter(kind=Subnet.Kind.HOSTED)


def _of_each(rows: Callable[[Caller], QuerySet[Any]]) -> Load:
    """A caller has one account, so its rows are all that are found."""

    def load(reader: SerializationContext, accounts: Sequence[Account]) -> Sequence[Any]:
        found: dict[int, list[Any]] = defaultdict(list)
        for row in rows(reader.caller):
            found[row.account_id].append(row)
        return [found[one.pk] for one in accounts]

    return load


SUBNET = "SoftLayer_Network_Subnet"

ACCOUNT = register_type(
    DataType(
        "SoftLayer_Account",
        {"id": column("pk"), "companyName": column("name")},
        {
            "networkTunnelContexts": Relation(
                "SoftLayer_Network_Tunnel_Module_Context", _of_each(lookup.visible)
            ),
            "subnets": Relation(SUBNET, _of_each(own_subnets)),
            "privateSubnets": Relation(SUBNET, _of_each(private_subnets)),
        },
    )
)
