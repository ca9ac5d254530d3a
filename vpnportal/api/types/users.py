"""SoftLayer_User_Customer: whose key it is. No key is ever shown: only hashes are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, moment, nothing


def _account(reader: SerializationContext, users: Sequence[Any]) -> Sequence[Any]:
    return [reader.caller.account for _ in users]


USER = register_type(
    DataType(
        "SoftLayer_User_Customer",
        {
            "id": column("pk"),
            "accountId": lambda reader, one: reader.caller.account.pk,
            "username": lambda reader, one: one.get_username(),
            "firstName": column("first_name"),
            "lastName": column("last_name"),
            "email": column("email"),
            "createDate": lambda reader, one: moment(one.date_joined),
        },
        {
            "account": Relation("SoftLayer_Account", _account, many=False),
            "apiAuthenticationKeys": Relation("SoftLayer_User_Customer_ApiAuthentication", nothing),
        },
    )
)
register_type(DataType("SoftLayer_User_Customer_ApiAuthentication", {}))
