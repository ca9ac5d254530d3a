"""SoftLayer_Account: the account of the key, whether its id is named or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.registry import getter, service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.api.types.accounts import ACCOUNT, own_subnets, private_subnets
from vpnportal.api.types.users import USER
from vpnportal.models import Account

_found = lookup.object_finder(lookup.accounts)


def own(caller: Caller, init: object) -> Account:
    """The caller's account; another id is nobody's."""
    return _found(caller, caller.account.pk if init is None else init)


account = service(ACCOUNT.name)
account.getters(ACCOUNT, own)


@account.method("getCurrentUser", find=own, data_type=USER)
def get_current_user(caller: Caller, one: Account) -> User:
    """Whose key it is."""
    return caller.user


def _getter(relation: str, rows: Callable[[Caller], QuerySet[Any]]) -> None:
    """Of thousands the database picks a page, or the one with an id, which the relation cannot."""

    @account.method(
        getter(relation),
        find=own,
        data_type=DATA_TYPES[ACCOUNT.relations[relation].shape],
        many=True,
        root=relation,
        by_id=lookup.by_id(rows),
    )
    def get(caller: Caller, one: Account) -> QuerySet[Any]:
        return rows(caller)


_getter("networkTunnelContexts", lookup.visible)
_getter("subnets", own_subnets)
_getter("privateSubnets", private_subnets)
