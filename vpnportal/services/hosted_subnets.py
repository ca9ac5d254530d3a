"""Hosted and service subnets of a draft: attached and detached; operators create them."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Subnet, Tunnel
from vpnportal.models.row_locks import lock_subnets
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.remote_subnets import record_subnet
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

FIELDS = {Subnet.Kind.HOSTED: "hosted_subnets", Subnet.Kind.SERVICE: "service_subnets"}
# A specification has both kinds in one field.
EDITED_FIELD = "hosted_subnets"


def attach_subnet(tunnel: Tunnel, subnet: Subnet, author: User) -> None:
    """Attach a hosted or service subnet of the tunnel's account and location to the draft.

    Raises Refused if the subnet overlaps a subnet of the tunnel. Raises Subnet.DoesNotExist if
    `Subnet.objects.offered_to` does not include the subnet.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        offered = Subnet.objects.offered_to(fresh)
        # An operator cannot delete it meanwhile.
        lock_subnets(offered.filter(pk=subnet.pk))
        row = offered.get(pk=subnet.pk)
        if fresh.subnets.filter(pk=row.pk).exists():
            return
        for other in fresh.networks(*Subnet.Kind):
            if other.overlaps(row.network):
                text = f"{row.network} overlaps {other} of this tunnel."
                raise Refused(Problem(FIELDS[Subnet.Kind(row.kind)], text))
        fresh.subnets.add(row)
        note_edits(fresh, [EDITED_FIELD], author)
        record_subnet(fresh, author, EDITED_FIELD, added=row.network)


def detach_subnet(tunnel: Tunnel, subnet: Subnet, author: User) -> None:
    """Detach a hosted or service subnet from the tunnel. The account keeps the subnet."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        attached = fresh.subnets.filter(pk=subnet.pk, kind__in=FIELDS).first()
        if attached is not None:
            fresh.subnets.remove(attached)
            record_subnet(fresh, author, EDITED_FIELD, removed=attached.network)
        note_edits(fresh, [EDITED_FIELD], author)
