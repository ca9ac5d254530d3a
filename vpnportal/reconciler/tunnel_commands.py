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
from vpnportal.domain.planning.stale_sas import stale_ike_sa
from vpnportal.gateway.driver import GatewayDriver as Device
from vpnportal.gateway.steps import Report
from vpnportal.models import Concentrator, Revision, TunnelCommand
from vpnportal.reconciler import step_log

Kind = TunnelCommand.Kind
# Nobody wants later what is over in a moment; a tunnel that is held stays so.
EXPIRES_AFTER = timedelta(minutes=2)
OVERDUE = "The concentrator's worker did not take it up in time: nothing was done. Ask again."
RENEWED = {
    True: "Both ends have new keys.",
    False: "The other end refused to renew the keys.",
    None: "Nothing was up to be renewed, or the other end took its time.",
}


def pending(concentrator: Concentrator, tunnel_id: int | None = None) -> QuerySet[TunnelCommand]:
    """Those that this concentrator's worker has to do, of one tunnel or of all, oldest first."""
    live = Revision.objects.filter(outcome=Revision.Outcome.LIVE, concentrator=concentrator)
    found = TunnelCommand.objects.filter(done_at=None, tunnel__in=live.values("tunnel")).order_by(
        "pk"
    )
    return found if tunnel_id is None else found.filter(tunnel_id=tunnel_id)


def recorder(concentrator: Concentrator, otherwise: Report) -> Report:
    """Steps that take a tunnel off, or put it back, belong to whoever asked; they are no drift."""
    return step_log.route_steps(
        lambda: {connection_of(wish.tunnel_id): wish for wish in pending(concentrator)}, otherwise
    )


def claim(concentrator: Concentrator, tunnel_id: int | None) -> list[TunnelCommand]:
    """Those to be done now; what waited too long is told so and not done any more."""
    fresh = []
    for wish in pending(concentrator, tunnel_id):
        if wish.kind in (Kind.REKEY, Kind.RECONNECT) and wish.age > EXPIRES_AFTER:
            _done(wish, OVERDUE, ok=False)
        else:
            fresh.append(wish)
    return fresh


def terminate_for_reconnect(
    wishes: Iterable[TunnelCommand], device: Device, observed: Observed
) -> bool:
    """End what runs of the tunnels that are to negotiate anew; True when anything was ended."""
    named = {connection_of(one.tunnel_id): one for one in wishes if one.kind == Kind.RECONNECT}
    ending = [sa for sa in observed.ike_sas if sa.connection in named]
    if ending:
        device.terminate(
            [stale_ike_sa(sa) for sa in ending],
            lambda step: step_log.append_step(named[step.connection], step),
        )
    return bool(ending)


def complete(wishes: Iterable[TunnelCommand], device: Device) -> None:
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


def _done(wish: TunnelCommand, text: str, ok: bool = True) -> None:
    TunnelCommand.objects.filter(pk=wish.pk).update(done_at=timezone.now(), ok=ok, text=text)
