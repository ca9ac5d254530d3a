"""Calls of the legacy API without a wire protocol."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from vpnportal.api.calls import Call, Caller
from vpnportal.api.dispatch import dispatch
from vpnportal.api.faults import Fault
from vpnportal.models import Account, ApiKey, Scope

CONTEXT = "SoftLayer_Network_Tunnel_Module_Context"
CUSTOMER_SUBNET = "SoftLayer_Network_Customer_Subnet"
CONTAINER = "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec"
# The mask of `slcli ipsec detail` with all its options.
DETAIL = (
    "[mask[id,accountId,advancedConfigurationFlag,createDate,customerPeerIpAddress,modifyDate,name,"
    "friendlyName,internalPeerIpAddress,phaseOneAuthentication,phaseOneDiffieHellmanGroup,"
    "phaseOneEncryption,phaseOneKeylife,phaseTwoAuthentication,phaseTwoDiffieHellmanGroup,"
    "phaseTwoEncryption,phaseTwoKeylife,phaseTwoPerfectForwardSecrecy,presharedKey,"
    "addressTranslations[internalIpAddressRecord[ipAddress],customerIpAddressRecord[ipAddress]],"
    "internalSubnets,customerSubnets,staticRouteSubnets,serviceSubnets]]"
)


class Program:
    """A program with a key of this user; the user's role may end while the key exists."""

    def __init__(self, user: User, account: Account, scope: Scope = Scope.ORDER) -> None:
        key = ApiKey(user=user, account=account, name="a script", scope=scope)
        self.caller = Caller(key, user, account)

    def call(self, name: str, *arguments: Any, on: object = None, **options: Any) -> Any:
        """Return the value of a call.

        `name` is SERVICE.method, or only the method for a context. `on` is the init id, `options`
        are mask, filter, limit and offset.
        """
        service, _, method = name.rpartition(".")
        call = Call(service or CONTEXT, method, on, arguments, **options)
        return dispatch(call, self.caller).value

    def fault(self, name: str, *arguments: Any, **options: Any) -> Fault:
        """Return the fault of a call that must be refused."""
        with pytest.raises(Fault) as raised:
            self.call(name, *arguments, **options)
        return raised.value


def filter_by_id(tunnel: Any) -> dict[str, Any]:
    """Return the filter with which `slcli` selects a context."""
    return {"networkTunnelContexts": {"id": {"operation": tunnel.pk}}}
