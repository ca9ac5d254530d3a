"""Connect, disconnect, rekey, reconnect: asked for by somebody, done by the concentrator.

Whether a tunnel is held lies in its row, so `aim` leaves it out whoever looks and whatever message
was lost; the rest is done once, soon, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.stale_sas import whole
from vpnportal.gateway.driver import Concentrator as Device
from vpnportal.gateway.steps import Report
from vpnportal.models import Concentrator, Revision, Wish
from vpnportal.reconciler import step_log

Kind = Wish.Kind
# Nobody wants later what is over in a moment; a tunnel that is held stays so.
GOOD_FOR = timedelta(minutes=2)
OVERDUE = "The concentrator's worker did not take it up in time: nothing was done. Ask again."
RENEWED = {
    True: "Both ends have new keys.",
    False: "The other end refused to renew the keys.",
    None: "Nothing was up to be renewed, or the other end took its time.",
}


def waiting(lane: Concentrator, tunnel_id: int | None = None) -> QuerySet[Wish]:
    """Those that this concentrator's worker has to do, of one tunnel or of all, oldest first."""
    live = Revision.objects.filter(outcome=Revision.Outcome.LIVE, concentrator=lane)
    found = Wish.objects.filter(done_at=None, tunnel__in=live.values("tunnel")).order_by("pk")
    return found if tunnel_id is None else found.filter(tunnel_id=tunnel_id)


def recorder(lane: Concentrator, otherwise: Report) -> Report:
    """Steps that take a tunnel off, or put it back, belong to whoever asked; they are no drift."""
    return step_log.recorder(
        lambda: {connection_of(wish.tunnel_id): wish for wish in waiting(lane)}, otherwise
    )


def take_up(lane: Concentrator, tunnel_id: int | None) -> list[Wish]:
    """Those to be done now; what waited too long is told so and not done any more."""
    fresh = []
    for wish in waiting(lane, tunnel_id):
        if wish.kind in (Kind.REKEY, Kind.RECONNECT) and wish.age > GOOD_FOR:
            _done(wish, OVERDUE, ok=False)
        else:
            fresh.append(wish)
    return fresh


def hang_up(wishes: Iterable[Wish], device: Device, observed: Observed) -> bool:
    """End what runs of the tunnels that are to negotiate anew; True when anything was ended."""
    named = {connection_of(one.tunnel_id): one for one in wishes if one.kind == Kind.RECONNECT}
    ending = [sa for sa in observed.associations if sa.connection in named]
    if ending:
        device.end(
            [whole(sa) for sa in ending], lambda step: step_log.note(named[step.connection], step)
        )
    return bool(ending)


def fulfil(wishes: Iterable[Wish], device: Device) -> None:
    """The device holds what it should, and what had to be started is: what is left, and the word.

    One that was ended to negotiate anew is done before this.
    """
    for wish in wishes:
        if wish.kind == Kind.REKEY:
            renewed = device.rekey(connection_of(wish.tunnel_id))
            _done(wish, RENEWED[renewed], ok=bool(renewed))
        else:
            _done(wish, DONE[Kind(wish.kind)])


DONE = {
    Kind.CONNECT: "The concentrator holds it again.",
    Kind.DISCONNECT: "The concentrator holds nothing of it any more.",
    Kind.RECONNECT: "What ran was ended, and the negotiation begun anew.",
}


def _done(wish: Wish, text: str, ok: bool = True) -> None:
    Wish.objects.filter(pk=wish.pk).update(done_at=timezone.now(), ok=ok, text=text)
