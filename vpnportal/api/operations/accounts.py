"""SoftLayer_Account: the account of the key, whether its id is named or not."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import QuerySet

from vpnportal.api import finding
from vpnportal.api.calls import Caller
from vpnportal.api.methods import service
from vpnportal.api.shapes import SHAPES
from vpnportal.api.types.accounts import ACCOUNT, own_subnets, private_subnets
from vpnportal.api.types.contexts import CONTEXT, SUBNET
from vpnportal.api.types.users import USER
from vpnportal.models import Account, Subnet, Tunnel

_found = finding.finder(finding.accounts)


def own(caller: Caller, init: object) -> Account:
    """The caller's account; another id is nobody's."""
    return _found(caller, caller.account.pk if init is None else init)


account = service(ACCOUNT.name)
account.getters(ACCOUNT, own)


@account.method("getCurrentUser", find=own, shape=USER)
def get_current_user(caller: Caller, one: Account) -> User:
    """Whose key it is."""
    return caller.user


@account.method(
    "getNetworkTunnelContexts",
    find=own,
    shape=SHAPES[CONTEXT],
    many=True,
    by_id=finding.by_id(finding.visible),
    root="networkTunnelContexts",
)
def get_contexts(caller: Caller, one: Account) -> QuerySet[Tunnel]:
    """Of the account: nobody is told of others."""
    return finding.visible(caller)


@account.method(
    "getSubnets",
    find=own,
    shape=SHAPES[SUBNET],
    many=True,
    by_id=finding.by_id(own_subnets),
    root="subnets",
)
def get_subnets(caller: Caller, one: Account) -> QuerySet[Subnet]:
    """What the provider has assigned to the account."""
    return own_subnets(caller)


@account.method(
    "getPrivateSubnets",
    find=own,
    shape=SHAPES[SUBNET],
    many=True,
    by_id=finding.by_id(private_subnets),
    root="privateSubnets",
)
def get_private_subnets(caller: Caller, one: Account) -> QuerySet[Subnet]:
    """Those in which there are servers."""
    return private_subnets(caller)
