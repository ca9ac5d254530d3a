"""SoftLayer_Network_Tunnel_Module_Context: a tunnel, as its draft stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Prefetch, Q, prefetch_related_objects

from vpnportal.api.serializers import DataType, Load, Relation, SerializationContext, register_type
from vpnportal.api.types import related_rows
from vpnportal.api.types.properties import column, itself, leads, moment
from vpnportal.models import Revision, Role, Subnet, Tunnel
from vpnportal.models.revisions import locks

CONTEXT = "SoftLayer_Network_Tunnel_Module_Context"
SUBNET = "SoftLayer_Network_Subnet"
Kind = Subnet.Kind


def _preshared_key(reader: SerializationContext, tunnel: Any) -> str | None:
    """Only for owners, and whoever is shown one is written down."""
    if tunnel.role != Role.OWNER or not tunnel.preshared_key:
        return None
    reader.shown.add(tunnel.pk)
    text: str = tunnel.preshared_key.open(tunnel.preshared_key_context)
    return text


def _attached(kind: Subnet.Kind) -> Load:
    def load(reader: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
        rows = related_rows.subnets(reader, [one.pk for one in tunnels])
        return [[row for row in several if row.kind == kind] for several in rows]

    return load


def _services(reader: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
    """What `offered_to` says of each, in one query for all."""
    prefetch_related_objects(list(tunnels), "concentrator")
    everybodys = Q(account=reader.caller.account) | Q(account=None)
    rows = list(Subnet.objects.filter(everybodys, kind=Kind.SERVICE).order_by("pk"))
    return [
        [row for row in rows if row.datacenter_id in (None, one.concentrator.datacenter_id)]
        for one in tunnels
    ]


def _revisions(wanted: Callable[[Revision], bool]) -> Load:
    def load(reader: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
        rows = Revision.objects.defer("specification", "steps").order_by("number")
        prefetch_related_objects(list(tunnels), Prefetch("revisions", rows, "told_revisions"))
        several: Any = tunnels
        return [[row for row in one.told_revisions if wanted(row)] for one in several]

    return load


def _translations(reader: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
    return related_rows.translations(reader, [one.pk for one in tunnels])


def _active(reader: SerializationContext, tunnels: Sequence[Tunnel]) -> Sequence[Any]:
    running = _revisions(lambda row: row.unfinished and not row.waits_too_long)
    return [rows[-1] if rows else None for rows in running(reader, tunnels)]


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
            "advancedConfigurationFlag": lambda reader, one: int(locks(one.requested_at)),
            "createDate": lambda reader, one: moment(one.ordered_at),
            "modifyDate": lambda reader, one: moment(one.edited_at or one.ordered_at),
            "phaseOneAuthentication": column("phase_one_authentication"),
            "phaseOneEncryption": column("phase_one_encryption"),
            "phaseOneDiffieHellmanGroup": column("phase_one_group"),
            "phaseOneKeylife": column("phase_one_keylife"),
            "phaseTwoAuthentication": column("phase_two_authentication"),
            "phaseTwoEncryption": column("phase_two_encryption"),
            "phaseTwoDiffieHellmanGroup": column("phase_two_group"),
            "phaseTwoKeylife": column("phase_two_keylife"),
            "phaseTwoPerfectForwardSecrecy": lambda reader, one: int(one.phase_two_pfs),
        },
        {
            "account": Relation("SoftLayer_Account", leads("account"), many=False),
            "activeTransaction": Relation(
                "SoftLayer_Provisioning_Version1_Transaction", _active, many=False
            ),
            "addressTranslations": Relation(f"{CONTEXT}_Address_Translation", _translations),
            "allAvailableServiceSubnets": Relation(SUBNET, _services),
            "billingItem": Relation("SoftLayer_Billing_Item", itself, many=False),
            "customerSubnets": Relation(
                "SoftLayer_Network_Customer_Subnet", _attached(Kind.CUSTOMER)
            ),
            "datacenter": Relation(
                "SoftLayer_Location", leads("concentrator.datacenter"), many=False
            ),
            "internalSubnets": Relation(SUBNET, _attached(Kind.HOSTED)),
            "serviceSubnets": Relation(SUBNET, _attached(Kind.SERVICE)),
            "staticRouteSubnets": Relation(SUBNET, _attached(Kind.STATIC_NAT)),
            "transactionHistory": Relation(
                "SoftLayer_Provisioning_Version1_Transaction",
                _revisions(lambda row: not row.unfinished or row.waits_too_long),
            ),
        },
    )
)
