"""Move a tunnel to another concentrator: the draft now, the traffic at the next Apply."""

from __future__ import annotations

from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Concentrator, Tunnel
from vpnportal.services.address_allocation import (
    AllocatedAddresses,
    free_hosted_peer,
    lock_address_allocation,
)
from vpnportal.services.address_release import start_release
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit


def move(tunnel: Tunnel, concentrator: Concentrator, author: User) -> None:
    """Give the draft this concentrator and a hosted peer address there; nothing is sent.

    For the operators of the service. What is live stays where it is until a revision is live on
    the new concentrator, and for ever if none is. The customer's device needs the new address. A
    tunnel that moves back before it was let go of has its old address again.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        if fresh.concentrator_id == concentrator.pk:
            text = f"{fresh.name} is at {concentrator} already."
            raise Refused(Problem("concentrator", text))
        lock_address_allocation()
        hosted_peer = _address(fresh, concentrator)
        start_release(fresh, author)
        Tunnel.objects.filter(pk=fresh.pk).update(
            concentrator=concentrator, hosted_peer=str(hosted_peer)
        )
        note_edits(fresh, ["hosted_peer"], author)
    tunnel.concentrator, tunnel.hosted_peer = concentrator, str(hosted_peer)


def _address(tunnel: Tunnel, concentrator: Concentrator) -> IPv4Address:
    back = tunnel.releases.open().filter(concentrator=concentrator).first()
    if back is not None:
        back.delete()
        return IPv4Address(back.hosted_peer)
    hosted_peer = free_hosted_peer(concentrator, AllocatedAddresses.now())
    if hosted_peer is None:
        text = f"No hosted peer address is left at {concentrator}. Give it another pool first."
        raise Refused(Problem("concentrator", text))
    return hosted_peer
