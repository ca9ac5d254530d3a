"""SoftLayer_User_Customer: the user of the key. Keys are never in a reply: only hashes exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, empty_lists, rfc3339


def _account(serialization: SerializationContext, users: Sequence[Any]) -> Sequence[Any]:
    return [serialization.caller.account for _ in users]


USER = register_type(
    DataType(
        "SoftLayer_User_Customer",
        {
            "id": column("pk"),
            "accountId": lambda serialization, user: serialization.caller.account.pk,
            "username": lambda serialization, user: user.get_username(),
            "firstName": column("first_name"),
            "lastName": column("last_name"),
            "email": column("email"),
            "createDate": lambda serialization, user: rfc3339(user.date_joined),
        },
        {
            "account": Relation("SoftLayer_Account", _account, many=False),
            "apiAuthenticationKeys": Relation(
                "SoftLayer_User_Customer_ApiAuthentication", empty_lists
            ),
        },
    )
)
register_type(DataType("SoftLayer_User_Customer_ApiAuthentication", {}))
