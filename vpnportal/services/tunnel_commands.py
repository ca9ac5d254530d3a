"""Connect, disconnect, rekey, reconnect: what is done with what runs, whatever the draft says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import trials, tunnel_commands
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

Kind = TunnelCommand.Kind
Seen = Tunnel.SaStatus
NOT_LIVE = "Nothing of this tunnel is on the concentrator yet: apply it first."
HELD = "This tunnel is disconnected: connect it first."


def disconnect(tunnel: Tunnel, author: User) -> None:
    """Have the concentrator hold nothing of the tunnel until it is connected, or applied, again.

    The other end can start nothing meanwhile. What it has reserved, and its draft, stay.
    """
    with _live(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", "This tunnel is disconnected already."))
        # Whatever nobody took up in time would be applied to a tunnel that is off.
        unfinished = fresh.revisions.filter(outcome__in=Revision.UNFINISHED)
        unfinished.update(outcome=Revision.Outcome.REPLACED)
        trials.cancel(fresh)
        _hold(fresh, author)
        _wish(fresh, Kind.DISCONNECT, author)


def connect(tunnel: Tunnel, author: User) -> None:
    """Put a disconnected tunnel back; one that is not up is negotiated anew, at once."""
    with _live(tunnel) as fresh:
        if fresh.disconnected_at:
            _hold(fresh, None)
            _wish(fresh, Kind.CONNECT, author)
        elif fresh.sa_status in (Seen.UP, Seen.OLDER):
            raise Refused(Problem("", "This tunnel is up already."))
        else:
            _wish(fresh, Kind.RECONNECT, author)


def rekey(tunnel: Tunnel, author: User) -> None:
    """Renew the keys of what is up, without a break."""
    with _live(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", HELD))
        if fresh.sa_status not in (Seen.UP, Seen.OLDER, Seen.PARTIAL):
            raise Refused(Problem("", "Nothing is up whose keys could be renewed."))
        _wish(fresh, Kind.REKEY, author)


def reconnect(tunnel: Tunnel, author: User) -> None:
    """End what runs and negotiate anew; traffic stops for as long as that takes."""
    with _live(tunnel) as fresh:
        if fresh.disconnected_at:
            raise Refused(Problem("", HELD))
        _wish(fresh, Kind.RECONNECT, author)


def newest(tunnel: Tunnel) -> TunnelCommand | None:
    """What was asked for last, whoever asked."""
    return tunnel.commands.select_related("author").first()


def is_open(wish: TunnelCommand | None) -> bool:
    """Whether its outcome is still to come."""
    return wish is not None and wish.done_at is None and wish.age <= tunnel_commands.EXPIRES_AFTER


@contextmanager
def _live(tunnel: Tunnel) -> Iterator[Tunnel]:
    """The fresh row of a tunnel that is on a concentrator, or would be if it were not held."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        if not fresh.revisions.filter(outcome=Revision.Outcome.LIVE).exists():
            raise Refused(Problem("", NOT_LIVE))
        yield fresh


def _hold(tunnel: Tunnel, author: User | None) -> None:
    at = timezone.now() if author else None
    Tunnel.objects.filter(pk=tunnel.pk).update(disconnected_at=at, disconnected_by=author)


def _wish(tunnel: Tunnel, kind: TunnelCommand.Kind, author: User) -> None:
    """Asked for twice it is done once; what was asked for before is done first, or is void."""
    waiting = tunnel.commands.filter(done_at=None)
    if any(is_open(one) and one.kind == kind for one in waiting):
        raise Refused(Problem("", "That is being done already."))
    waiting.update(done_at=timezone.now(), ok=False, text="Something else was asked for.")
    TunnelCommand.objects.create(tunnel=tunnel, kind=kind, author=author)
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).select_related("concentrator")
    for revision in live:
        tasks.request_converge(revision.concentrator, tunnel.pk)
