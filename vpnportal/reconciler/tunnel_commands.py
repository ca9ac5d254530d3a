"""Commands connect, disconnect, rekey and reconnect, which the worker executes for a user.

A disconnected tunnel has `disconnected_at` in its row. `RevisionQuerySet.to_configure()` excludes
it, so every converge leaves it out, also after a lost message. Other commands run once and soon,
or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import BigAutoField, QuerySet
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.stale_sas import stale_ike_sa
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.models import Concentrator, Revision, TunnelCommand
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.reconciler.step_log import RowLogs, log_to_row

Kind = TunnelCommand.Kind
# After this time a rekey or reconnect has lost its purpose. A disconnect never expires.
EXPIRES_AFTER = timedelta(minutes=2)
TIMED_OUT = "Timed out: the concentrator's worker did not start it. Nothing was done. Try again."
COMPLETED = {
    Kind.CONNECT: "Completed: the tunnel is configured on the concentrator.",
    Kind.DISCONNECT: "Completed: the tunnel is removed from the concentrator.",
    Kind.RECONNECT: "Completed: the IKE_SA was terminated and initiated again.",
}
REKEYED = {
    True: "Completed: the tunnel has new keys.",
    False: "The peer refused the rekey.",
    None: "No rekey: the tunnel is not up, or the peer did not answer in time.",
}


def pending(concentrator: Concentrator) -> QuerySet[TunnelCommand]:
    """Return the unfinished commands of tunnels live on a concentrator, oldest first."""
    return _pending(concentrator.pk)


def _pending(concentrator_id: int) -> QuerySet[TunnelCommand]:
    live = Revision.objects.filter(outcome=Revision.Outcome.LIVE, concentrator_id=concentrator_id)
    commands = TunnelCommand.objects.filter(done_at=None, tunnel__in=live.values("tunnel"))
    return commands.order_by("pk")


_pending_of_one = PreparedQuery(
    lambda concentrator_id, tunnel_id: _pending(concentrator_id).filter(tunnel_id=tunnel_id),
    BigAutoField(),
    BigAutoField(),
)


def command_logs(concentrator: Concentrator) -> RowLogs:
    """Return a step sink for unfinished commands: their steps are no drift repairs."""
    return RowLogs(
        lambda: {connection_of(command.tunnel_id): command for command in pending(concentrator)}
    )


def claim(concentrator: Concentrator, tunnel_id: int | None) -> list[TunnelCommand]:
    """Return the commands to execute now, and end those that have expired."""
    unfinished: Iterable[TunnelCommand] = (
        pending(concentrator) if tunnel_id is None else _pending_of_one(concentrator.pk, tunnel_id)
    )
    commands = []
    for command in unfinished:
        if command.kind in (Kind.REKEY, Kind.RECONNECT) and command.age > EXPIRES_AFTER:
            _end(command, TIMED_OUT, ok=False)
        else:
            commands.append(command)
    return commands


def terminate_for_reconnect(
    commands: Iterable[TunnelCommand], driver: GatewayDriver, observed: Observed
) -> bool:
    """Terminate the IKE_SAs of tunnels to reconnect. Return True if there were any."""
    reconnects = {
        connection_of(command.tunnel_id): command
        for command in commands
        if command.kind == Kind.RECONNECT
    }
    ike_sas = [ike_sa for ike_sa in observed.ike_sas if ike_sa.connection in reconnects]
    if ike_sas:
        driver.terminate(
            [stale_ike_sa(ike_sa) for ike_sa in ike_sas],
            lambda step: log_to_row(reconnects[step.connection], step),
        )
    return bool(ike_sas)


def complete(commands: Iterable[TunnelCommand], driver: GatewayDriver) -> None:
    """Execute the rekeys, and mark the other commands as done by the converge."""
    for command in commands:
        if command.kind == Kind.REKEY:
            agreed = driver.rekey(connection_of(command.tunnel_id))
            _end(command, REKEYED[agreed], ok=bool(agreed))
        else:
            _end(command, COMPLETED[Kind(command.kind)], ok=True)


def _end(command: TunnelCommand, text: str, ok: bool) -> None:
    TunnelCommand.objects.filter(pk=command.pk).update(done_at=timezone.now(), ok=ok, text=text)
