"""SoftLayer_Network_Tunnel_Module_Context: adding and removing subnets of a tunnel."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_is
from vpnportal.api.calls import Caller
from vpnportal.api.faults import object_not_found
from vpnportal.api.methods.contexts import context_service, find_editable
from vpnportal.models import Scope, Subnet, Tunnel

Kind = Subnet.Kind


def _find_named_or_only(caller: Caller, object_id: object) -> Tunnel:
    """Return the tunnel with this id; without an id, the caller's only tunnel.

    The Terraform provider omits the id when it adds a subnet.
    """
    if object_id is not None:
        return find_editable(caller, object_id)
    tunnels = list(lookup.editable_tunnels(caller)[:2])
    if len(tunnels) != 1:
        raise object_not_found("")
    return tunnels[0]


def _available(tunnel: Tunnel, kind: Subnet.Kind) -> QuerySet[Subnet]:
    return Subnet.objects.offered_to(tunnel).filter(kind=kind)


def _register_kind(name: str, kind: Subnet.Kind) -> None:
    @context_service.method(
        f"add{name}SubnetToNetworkTunnel",
        find=_find_named_or_only,
        arguments=[as_is],
        scope=Scope.EDIT,
    )
    def add_subnet(caller: Caller, tunnel: Tunnel, subnet_id: Any) -> bool:
        row = lookup.get_or_fault(_available(tunnel, kind), subnet_id)
        services.attach_subnet(tunnel, row, caller.user)
        return True

    @context_service.method(
        f"remove{name}SubnetFromNetworkTunnel",
        find=find_editable,
        arguments=[as_is],
        scope=Scope.EDIT,
    )
    def remove_subnet(caller: Caller, tunnel: Tunnel, subnet_id: Any) -> bool:
        row = lookup.get_or_fault(tunnel.subnets.filter(kind=kind), subnet_id)
        services.detach_subnet(tunnel, row, caller.user)
        return True


_register_kind("Private", Kind.HOSTED)
_register_kind("Service", Kind.SERVICE)


@context_service.method(
    "addCustomerSubnetToNetworkTunnel",
    find=_find_named_or_only,
    arguments=[as_is],
    scope=Scope.EDIT,
)
def add_customer_subnet(caller: Caller, tunnel: Tunnel, subnet_id: Any) -> bool:
    """Add a remote subnet of the account to the tunnel."""
    row = lookup.get_or_fault(lookup.customer_subnets(caller), subnet_id)
    services.attach_customer_subnet(tunnel, row, caller.user)
    return True


@context_service.method(
    "removeCustomerSubnetFromNetworkTunnel", find=find_editable, arguments=[as_is], scope=Scope.EDIT
)
def remove_customer_subnet(caller: Caller, tunnel: Tunnel, subnet_id: Any) -> bool:
    """Remove a remote subnet from the tunnel, and delete it if no other tunnel has it."""
    row = lookup.get_or_fault(tunnel.subnets.filter(kind=Kind.CUSTOMER), subnet_id)
    services.remove_remote_subnet(tunnel, row.pk, caller.user)
    return True
