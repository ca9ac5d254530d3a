"""SoftLayer_Network_Tunnel_Module_Context: which subnets at both ends a tunnel leads to."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_it_is
from vpnportal.api.calls import Caller
from vpnportal.api.faults import not_found
from vpnportal.api.methods.contexts import context, editable
from vpnportal.models import Subnet, Tunnel

Kind = Subnet.Kind


def _named_or_only(caller: Caller, init: object) -> Tunnel:
    """The context, or the only one there is: Terraform forgets to name it when it adds a subnet."""
    if init is not None:
        return editable(caller, init)
    several = list(lookup.editable(caller)[:2])
    if len(several) != 1:
        raise not_found("")
    return several[0]


def _offered(tunnel: Tunnel, kind: Subnet.Kind) -> QuerySet[Subnet]:
    return Subnet.objects.offered_to(tunnel).filter(kind=kind)


def _attach(name: str, kind: Subnet.Kind) -> None:
    @context.method(f"add{name}SubnetToNetworkTunnel", find=_named_or_only, takes=[as_it_is])
    def add(caller: Caller, tunnel: Tunnel, subnet: Any) -> bool:
        services.attach_subnet(
            tunnel, lookup.get_or_fault(_offered(tunnel, kind), subnet), caller.user
        )
        return True

    @context.method(f"remove{name}SubnetFromNetworkTunnel", find=editable, takes=[as_it_is])
    def remove(caller: Caller, tunnel: Tunnel, subnet: Any) -> bool:
        row = lookup.get_or_fault(tunnel.subnets.filter(kind=kind), subnet)
        services.detach_subnet(tunnel, row, caller.user)
        return True


_attach("Private", Kind.HOSTED)
_attach("Service", Kind.SERVICE)


@context.method("addCustomerSubnetToNetworkTunnel", find=_named_or_only, takes=[as_it_is])
def add_customer_subnet(caller: Caller, tunnel: Tunnel, subnet: Any) -> bool:
    """Protect one more network of the customer's end."""
    row = lookup.get_or_fault(lookup.customer_subnets(caller), subnet)
    services.attach_customer_subnet(tunnel, row, caller.user)
    return True


@context.method("removeCustomerSubnetFromNetworkTunnel", find=editable, takes=[as_it_is])
def remove_customer_subnet(caller: Caller, tunnel: Tunnel, subnet: Any) -> bool:
    """Protect one less, which is deleted if no other tunnel protects it."""
    row = lookup.get_or_fault(tunnel.subnets.filter(kind=Kind.CUSTOMER), subnet)
    services.remove_remote_subnet(tunnel, row.pk, caller.user)
    return True
