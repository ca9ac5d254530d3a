"""Commands for the live revision: connect, disconnect, rekey, reconnect. The draft stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Event, Revision, Tunnel, TunnelCommand, record_event
from vpnportal.models.row_locks import lock_revisions
from vpnportal.reconciler import trials
from vpnportal.reconciler.tunnel_commands import EXPIRES_AFTER
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_while_held

Kind = TunnelCommand.Kind
ACTIONS = {
    Kind.CONNECT: Event.Action.TUNNEL_CONNECT,
    Kind.DISCONNECT: Event.Action.TUNNEL_DISCONNECT,
    Kind.RECONNECT: Event.Action.TUNNEL_RECONNECT,
    Kind.REKEY: Event.Action.TUNNEL_REKEY,
}
NOT_LIVE = "This tunnel is not applied yet. Apply it first."
IS_DISCONNECTED = "This tunnel is disconnected. Connect it first."


def disconnect(tunnel: Tunnel, author: User) -> None:
    """Remove the tunnel from its concentrator until the next connect or apply.

    The peer cannot initiate meanwhile. The draft and the addresses of the tunnel stay.
    Raises Refused if the tunnel is not live or already disconnected.
    """
    with _live_tunnel(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", "This tunnel is already disconnected."))
        refuse_while_held(fresh)
        # A revision that the worker did not start in time must not connect the tunnel again.
        lock_revisions(fresh.revisions.holding())
        unfinished = fresh.revisions.filter(outcome__in=Revision.UNFINISHED)
        unfinished.update(outcome=Revision.Outcome.REPLACED)
        trials.cancel(fresh)
        _set_disconnected(fresh, author)
        _queue(fresh, Kind.DISCONNECT, author)


def connect(tunnel: Tunnel, author: User) -> None:
    """Configure a disconnected tunnel again, or reconnect a tunnel that is not up.

    Raises Refused if the tunnel is not live or already up.
    """
    with _live_tunnel(tunnel) as fresh:
        if fresh.disconnected_at:
            refuse_while_held(fresh)
            _set_disconnected(fresh, None)
            _queue(fresh, Kind.CONNECT, author)
        elif fresh.sa_status in (SaStatus.UP, SaStatus.OLDER):
            raise Refused(Problem("", "This tunnel is already up."))
        else:
            _queue(fresh, Kind.RECONNECT, author)


def rekey(tunnel: Tunnel, author: User) -> None:
    """Rekey the tunnel without an interruption. Raises Refused if no SA is established."""
    with _live_tunnel(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", IS_DISCONNECTED))
        if fresh.sa_status not in (SaStatus.UP, SaStatus.OLDER, SaStatus.PARTIAL):
            raise Refused(Problem("", "This tunnel is not up, so it has no keys to renew."))
        _queue(fresh, Kind.REKEY, author)


def reconnect(tunnel: Tunnel, author: User) -> None:
    """Terminate the SAs and initiate again. Traffic stops until the SAs are established."""
    with _live_tunnel(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", IS_DISCONNECTED))
        _queue(fresh, Kind.RECONNECT, author)


def newest_command(tunnel: Tunnel) -> TunnelCommand | None:
    """Return the last command of a tunnel."""
    return tunnel.commands.select_related("author").first()


def is_command_open(command: TunnelCommand | None) -> bool:
    """Return True if the command has no result yet and has not expired."""
    return command is not None and command.done_at is None and command.age <= EXPIRES_AFTER


@contextmanager
def _live_tunnel(tunnel: Tunnel) -> Iterator[Tunnel]:
    """Lock a tunnel and yield its current state. Raises Refused if no revision is live."""
    with lock_tunnel_for_edit(tunnel, during_import=True) as fresh:
        if not fresh.revisions.filter(outcome=Revision.Outcome.LIVE).exists():
            raise Refused(Problem("", NOT_LIVE))
        yield fresh


def _set_disconnected(tunnel: Tunnel, author: User | None) -> None:
    at = timezone.now() if author else None
    Tunnel.objects.filter(pk=tunnel.pk).update(disconnected_at=at, disconnected_by=author)


def _queue(tunnel: Tunnel, kind: TunnelCommand.Kind, author: User) -> None:
    """Queue a command and mark older commands of the tunnel as replaced.

    Raises Refused if a command of the same kind is still open.
    """
    waiting = tunnel.commands.filter(done_at=None)
    if any(is_command_open(command) and command.kind == kind for command in waiting):
        raise Refused(Problem("", "This command is already running."))
    waiting.update(done_at=timezone.now(), ok=False, text="Replaced by a newer command.")
    TunnelCommand.objects.create(tunnel=tunnel, kind=kind, author=author)
    record_event(ACTIONS[kind], actor=author, tunnel=tunnel)
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).select_related("concentrator")
    for revision in live:
        tasks.request_converge(revision.concentrator, tunnel.pk)
