"""The subnets at this end that a tunnel may reach: attached and detached, never made here."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Subnet, Tunnel
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

FIELDS = {Subnet.Kind.HOSTED: "hosted_subnets", Subnet.Kind.SERVICE: "service_subnets"}
# A specification has both kinds in one.
CHANGED = "hosted_subnets"


def attach_subnet(tunnel: Tunnel, subnet: Subnet, author: User) -> None:
    """Let the tunnel reach a subnet that is offered to it; Subnet.DoesNotExist for any other.

    Refused where it overlaps what the tunnel has already.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        row = Subnet.objects.offered_to(fresh).get(pk=subnet.pk)
        if fresh.subnets.filter(pk=row.pk).exists():
            return
        for other in fresh.networks(*Subnet.Kind):
            if other.overlaps(row.network):
                text = f"{row.network} overlaps {other}, which this tunnel has already."
                raise Refused(Problem(FIELDS[Subnet.Kind(row.kind)], text))
        fresh.subnets.add(row)
        note_edits(fresh, [CHANGED], author)


def detach_subnet(tunnel: Tunnel, subnet: Subnet, author: User) -> None:
    """Let the tunnel reach a hosted or service subnet no more; it stays the account's."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        fresh.subnets.remove(*fresh.subnets.filter(pk=subnet.pk, kind__in=FIELDS))
        note_edits(fresh, [CHANGED], author)
