"""SoftLayer_Network_Tunnel_Module_Context: the draft of a tunnel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Prefetch, Q, prefetch_related_objects

from vpnportal.api.serializers import (
    DataType,
    Relation,
    RelationLoader,
    SerializationContext,
    register_type,
)
from vpnportal.api.types import related_rows
from vpnportal.api.types.properties import column, foreign_key, rfc3339, same_row
from vpnportal.models import Revision, Role, Scope, Subnet, Tunnel
from vpnportal.models.revisions import locks

CONTEXT = "SoftLayer_Network_Tunnel_Module_Context"
SUBNET = "SoftLayer_Network_Subnet"
Kind = Subnet.Kind


def _preshared_key(serialization: SerializationContext, tunnel: Any) -> str | None:
    """Return the tunnel's preshared key if the caller is an owner who may edit, else None.

    The tunnel of a returned key is added to `revealed_tunnel_ids`.
    """
    if tunnel.role != Role.OWNER or not tunnel.preshared_key:
        return None
    if not Scope(serialization.caller.key.scope).includes(Scope.EDIT):
        return None
    serialization.revealed_tunnel_ids.add(tunnel.pk)
    key: str = tunnel.preshared_key.open(tunnel.preshared_key_context)
    return key


def _subnets(kind: Subnet.Kind) -> RelationLoader:
    def load(serialization: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
        subnets = related_rows.subnets(serialization, [tunnel.pk for tunnel in tunnels])
        return [[row for row in rows if row.kind == kind] for rows in subnets]

    return load


def _available_services(
    serialization: SerializationContext, tunnels: Sequence[Tunnel]
) -> Sequence[Any]:
    """Return the service subnets that may be attached to each tunnel, in one query for all."""
    prefetch_related_objects(list(tunnels), "concentrator")
    is_available = Q(account=serialization.caller.account) | Q(account=None)
    rows = list(Subnet.objects.filter(is_available, kind=Kind.SERVICE).order_by("pk"))
    return [
        [row for row in rows if row.datacenter_id in (None, tunnel.concentrator.datacenter_id)]
        for tunnel in tunnels
    ]


def _revisions(is_included: Callable[[Revision], bool]) -> RelationLoader:
    def load(serialization: SerializationContext, tunnels: Sequence[Any]) -> Sequence[Any]:
        rows = Revision.objects.defer("specification", "steps").order_by("number")
        prefetch_related_objects(list(tunnels), Prefetch("revisions", rows, "all_revisions"))
        return [[row for row in tunnel.all_revisions if is_included(row)] for tunnel in tunnels]

    return load


def _translations(serialization: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
    return related_rows.translations(serialization, [tunnel.pk for tunnel in tunnels])


def _active_transaction(
    serialization: SerializationContext, tunnels: Sequence[Tunnel]
) -> Sequence[Any]:
    load = _revisions(lambda row: row.unfinished and not row.waits_too_long)
    return [rows[-1] if rows else None for rows in load(serialization, tunnels)]


register_type(
    DataType(
        CONTEXT,
        {
            "id": column("pk"),
            "accountId": column("account_id"),
            "name": column("name"),
            "friendlyName": column("friendly_name"),
            "internalPeerIpAddress": column("hosted_peer"),
            "customerPeerIpAddress": column("remote_peer"),
            "presharedKey": _preshared_key,
            "advancedConfigurationFlag": lambda serialization, tunnel: int(
                locks(tunnel.requested_at)
            ),
            "createDate": lambda serialization, tunnel: rfc3339(tunnel.ordered_at),
            "modifyDate": lambda serialization, tunnel: rfc3339(
                tunnel.edited_at or tunnel.ordered_at
            ),
            "phaseOneAuthentication": column("phase_one_authentication"),
            "phaseOneEncryption": column("phase_one_encryption"),
            "phaseOneDiffieHellmanGroup": column("phase_one_group"),
            "phaseOneKeylife": column("phase_one_keylife"),
            "phaseTwoAuthentication": column("phase_two_authentication"),
            "phaseTwoEncryption": column("phase_two_encryption"),
            "phaseTwoDiffieHellmanGroup": column("phase_two_group"),
            "phaseTwoKeylife": column("phase_two_keylife"),
            "phaseTwoPerfectForwardSecrecy": lambda serialization, tunnel: int(
                tunnel.phase_two_pfs
            ),
        },
        {
            "account": Relation("SoftLayer_Account", foreign_key("account"), many=False),
            "activeTransaction": Relation(
                "SoftLayer_Provisioning_Version1_Transaction", _active_transaction, many=False
            ),
            "addressTranslations": Relation(f"{CONTEXT}_Address_Translation", _translations),
            "allAvailableServiceSubnets": Relation(SUBNET, _available_services),
            "billingItem": Relation("SoftLayer_Billing_Item", same_row, many=False),
            "customerSubnets": Relation(
                "SoftLayer_Network_Customer_Subnet", _subnets(Kind.CUSTOMER)
            ),
            "datacenter": Relation(
                "SoftLayer_Location", foreign_key("concentrator.datacenter"), many=False
            ),
            "internalSubnets": Relation(SUBNET, _subnets(Kind.HOSTED)),
            "serviceSubnets": Relation(SUBNET, _subnets(Kind.SERVICE)),
            "staticRouteSubnets": Relation(SUBNET, _subnets(Kind.STATIC_NAT)),
            "transactionHistory": Relation(
                "SoftLayer_Provisioning_Version1_Transaction",
                _revisions(lambda row: not row.unfinished or row.waits_too_long),
            ),
        },
    )
)
