"""Calls of the retired API as a door makes them, without a door."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from vpnportal.api.calls import Call, Caller
from vpnportal.api.dispatch import dispatch
from vpnportal.api.faults import Fault
from vpnportal.models import Account, ApiKey

CONTEXT = "SoftLayer_Network_Tunnel_Module_Context"
CUSTOMER_SUBNET = "SoftLayer_Network_Customer_Subnet"
CONTAINER = "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec"
# What `slcli ipsec detail` asks for with all its options.
DETAIL = (
    "[mask[id,accountId,advancedConfigurationFlag,createDate,customerPeerIpAddress,modifyDate,name,"
    "friendlyName,internalPeerIpAddress,phaseOneAuthentication,phaseOneDiffieHellmanGroup,"
    "phaseOneEncryption,phaseOneKeylife,phaseTwoAuthentication,phaseTwoDiffieHellmanGroup,"
    "phaseTwoEncryption,phaseTwoKeylife,phaseTwoPerfectForwardSecrecy,presharedKey,"
    "addressTranslations[internalIpAddressRecord[ipAddress],customerIpAddressRecord[ipAddress]],"
    "internalSubnets,customerSubnets,staticRouteSubnets,serviceSubnets]]"
)


class Program:
    """A program with a key of this user, which may be a key of no right any more."""

    def __init__(self, user: User, account: Account) -> None:
        self.caller = Caller(ApiKey(user=user, account=account, name="a script"), user, account)

    def call(self, name: str, *arguments: Any, on: object = None, **how: Any) -> Any:
        """The value of an answer; `name` is SERVICE.method, or a method of a context."""
        service, _, method = name.rpartition(".")
        call = Call(service or CONTEXT, method, on, arguments, **how)
        return dispatch(call, self.caller).value

    def fault(self, name: str, *arguments: Any, **how: Any) -> Fault:
        """The fault that it must be answered with."""
        with pytest.raises(Fault) as raised:
            self.call(name, *arguments, **how)
        return raised.value


def only(tunnel: Any) -> dict[str, Any]:
    """The filter that `slcli` names a context with."""
    return {"networkTunnelContexts": {"id": {"operation": tunnel.pk}}}
