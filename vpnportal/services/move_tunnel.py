"""Move of a tunnel to another concentrator: the draft now, the traffic with the next apply."""

from __future__ import annotations

from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Concentrator, Event, Tunnel, record_event
from vpnportal.models.row_locks import lock_concentrators
from vpnportal.services.address_allocation import (
    AllocatedAddresses,
    free_hosted_peer,
)
from vpnportal.services.address_release import start_release
from vpnportal.services.edit_conflicts import note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_while_held
from vpnportal.services.tunnel_marks import EXHAUSTED, mark_at


def move(tunnel: Tunnel, concentrator: Concentrator, author: User) -> None:
    """Give the draft this concentrator and a hosted peer address there. Operators only.

    The live revision stays at the old concentrator until a revision is live at the new one. The
    customer's device needs the new address. A tunnel that moves back before its release gets its
    old address and mark again. Raises Refused if the tunnel is already there, or if no address or
    mark is free.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        if fresh.concentrator_id == concentrator.pk:
            text = f"{fresh.name} is already at {concentrator}."
            raise Refused(Problem("concentrator", text))
        refuse_while_held(fresh)
        if not concentrator.is_compared:
            text = f"{concentrator} was not compared with the restored backup yet. Try again later."
            raise Refused(Problem("concentrator", text))
        lock_concentrators()
        hosted_peer = _hosted_peer_at(concentrator, fresh)
        mark = mark_at(concentrator, fresh)
        if mark is None:
            raise Refused(Problem("concentrator", EXHAUSTED.format(concentrator)))
        start_release(fresh, author)
        Tunnel.objects.filter(pk=fresh.pk).update(
            concentrator=concentrator, hosted_peer=str(hosted_peer), mark=mark
        )
        note_edits(fresh, ["hosted_peer"], author)
        record_event(
            Event.Action.TUNNEL_MOVED,
            actor=author,
            tunnel=fresh,
            concentrator=concentrator,
            before={"concentrator": fresh.concentrator, "hosted_peer": fresh.hosted_peer},
            after={"concentrator": concentrator, "hosted_peer": hosted_peer},
        )
    tunnel.concentrator, tunnel.hosted_peer = concentrator, str(hosted_peer)
    tunnel.mark = mark


def _hosted_peer_at(concentrator: Concentrator, tunnel: Tunnel) -> IPv4Address:
    release = tunnel.releases.open().filter(concentrator=concentrator).first()
    if release is not None:
        release.delete()
        return IPv4Address(release.hosted_peer)
    hosted_peer = free_hosted_peer(concentrator, AllocatedAddresses.now())
    if hosted_peer is None:
        text = f"No hosted peer address is left at {concentrator}. Add an address pool first."
        raise Refused(Problem("concentrator", text))
    return hosted_peer
