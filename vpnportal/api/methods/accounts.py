"""SoftLayer_Account: the account of the key, with or without an init id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.registry import getter_name, register_service
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.api.types.accounts import ACCOUNT, own_subnets, private_subnets
from vpnportal.api.types.users import USER
from vpnportal.models import Account, Scope

_find_account = lookup.object_finder(lookup.visible_accounts)


def find_own(caller: Caller, object_id: object) -> Account:
    """Return the account of the key. Raises Fault for the id of another account."""
    return _find_account(caller, caller.account.pk if object_id is None else object_id)


service = register_service(ACCOUNT.name)
service.add_getters(ACCOUNT, find_own)


@service.method("getCurrentUser", find=find_own, data_type=USER, scope=Scope.READ)
def get_current_user(caller: Caller, account: Account) -> User:
    """Return the user of the key."""
    return caller.user


def _register_getter(relation: str, rows: Callable[[Caller], QuerySet[Any]]) -> None:
    """Register a getter that returns a queryset, in place of the relation's getter with a list.

    The database then reads only the page or the id that the call requests.
    """

    @service.method(
        getter_name(relation),
        find=find_own,
        data_type=DATA_TYPES[ACCOUNT.relations[relation].type_name],
        many=True,
        filter_root=relation,
        find_by_id=lookup.by_id(rows),
        scope=Scope.READ,
    )
    def get_rows(caller: Caller, account: Account) -> QuerySet[Any]:
        return rows(caller)


_register_getter("networkTunnelContexts", lookup.visible_tunnels)
_register_getter("subnets", own_subnets)
_register_getter("privateSubnets", private_subnets)
