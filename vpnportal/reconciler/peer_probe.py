"""Peer probes: one short round of offers per task, so that other tasks get their turn between.

The row of the probe holds every reply, so that another process can run the next round.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from ipaddress import IPv4Address

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.peer_probe.result import learned_fields, reply_text, summary
from vpnportal.domain.peer_probe.strategy import next_offer, wants_phase_two
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.gateway import GatewayError
from vpnportal.gateway.peer_probe import PeerProber
from vpnportal.models import Concentrator, PeerProbe, Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import reconcile

log = logging.getLogger(__name__)
State = PeerProbe.State
OPEN_STATES = (State.QUEUED, State.ASKING)
# A crashed worker or a lost message leaves a probe that nothing continues.
EXPIRES_AFTER = timedelta(seconds=60)
# A probe gives way to what was requested in this time.
YIELDS_FOR = timedelta(seconds=20)
TIMED_OUT = "Timed out: the concentrator's worker was busy or did not run."
CANNOT_OPEN = (
    "The concentrator cannot open the request with its keys. The service operators see why with "
    "`vpnportal doctor`."
)
# A round starts no offer after this time. One offer takes up to about 2 s.
ROUND_SECONDS = 0.4


def yields(probe_id: int) -> bool:
    """Return True if an apply or a command waits for the worker of a probe's concentrator.

    An offer takes up to 2 s, which the other tunnel would wait.
    """
    concentrator = Concentrator.objects.filter(tunnels__peer_probes=probe_id).values("pk")[:1]
    now = timezone.now()
    # An older one does not wait for this worker, but for its gateway.
    lately = (now - YIELDS_FOR, now + YIELDS_FOR)
    revisions = Revision.objects.filter(concentrator=concentrator, created_at__range=lately)
    commands = TunnelCommand.objects.filter(
        tunnel__concentrator=concentrator, requested_at__range=lately, done_at=None
    )
    return revisions.filter(outcome=Revision.Outcome.QUEUED).exists() or commands.exists()


def run_round(probe_id: int) -> bool:
    """Run one round of a probe. Return True if the probe needs another round."""
    probe = PeerProbe.objects.filter(pk=probe_id, state__in=OPEN_STATES).first()
    if probe is None:
        return False
    tunnels = Tunnel.objects.for_gateway().select_related("concentrator")
    probe.tunnel = tunnels.get(pk=probe.tunnel_id)
    if is_overdue(probe):
        return _fail(probe, TIMED_OUT)
    if not probe.specification:
        # A portal of the version before wrote none: the probe expires.
        return False
    concentrator = probe.tunnel.concentrator
    try:
        return _run_offers(probe, prober_for(concentrator))
    except CannotOpen:
        return _fail(probe, CANNOT_OPEN)
    except GatewayError as error:
        return _fail(probe, reconcile.unreachable_text(concentrator, error))


def prober_for(concentrator: Concentrator) -> PeerProber:
    """Return the prober of a concentrator. Its worker runs in the same network namespace."""
    return PeerProber(settings.VICI_SOCKET)


def sweep(concentrator: Concentrator) -> None:
    """Remove connections, SAs and secrets of earlier probes, if charon can be reached."""
    try:
        prober_for(concentrator).sweep()
    except GatewayError as error:
        log.warning("Nothing was swept: %s", reconcile.unreachable_text(concentrator, error))


def is_overdue(probe: PeerProbe) -> bool:
    """Return True if the probe has expired."""
    return age_of(probe.created_at) >= EXPIRES_AFTER


def _run_offers(probe: PeerProbe, prober: PeerProber) -> bool:
    spec = probe.spec()
    replies = [OfferReply.of_json(step["reply"]) for step in probe.steps]
    if objection := _objection(probe, spec, prober):
        return _fail(probe, objection)
    if not replies:
        prober.sweep()
    algorithms, deadline = prober.algorithms(), time.monotonic() + ROUND_SECONDS
    while offer := next_offer(replies, algorithms, wants_phase_two(spec)):
        replies.append(prober.offer(spec, offer))
        _save_newest(probe, replies)
        if time.monotonic() >= deadline:
            return True
    if learned_fields(replies):
        return _finish(probe, State.ANSWERED, summary(replies, spec))
    return _fail(probe, summary(replies, spec))


def _objection(probe: PeerProbe, spec: TunnelSpec, prober: PeerProber) -> str:
    """Return the reason not to probe the peer now, or an empty string.

    The draft may have changed since the request, and some facts are known only on the gateway.
    """
    peer = probe.answer.get("remote_peer", "")
    if probe.tunnel.cancelled_at:
        return "The tunnel was deleted."
    if Revision.objects.locking().filter(tunnel=probe.tunnel).exists():
        return "A configuration was applied meanwhile. Try again if the tunnel does not come up."
    if probe.tunnel.remote_peer != peer:
        return "The Remote Peer Address was changed meanwhile. Try again."
    if prober.owns(IPv4Address(peer)):
        return f"{peer} is the concentrator itself. Enter the address of the customer's device."
    if not prober.owns(spec.hosted_peer):
        return f"The concentrator does not have the Hosted Peer Address {spec.hosted_peer}."
    if prober.is_up(connection_of(spec.tunnel_id)):
        return "The tunnel is up: its peer accepts the applied settings."
    return ""


def _save_newest(probe: PeerProbe, replies: list[OfferReply]) -> None:
    """Write the newest reply, and the draft fields learned from all replies."""
    newest = replies[-1]
    probe.steps.append(
        {
            "at": timezone.now().isoformat(),
            "text": reply_text(newest),
            "ok": newest.heard in (OfferResult.SELECTED, OfferResult.REFUSED),
            "reply": newest.as_json(),
        }
    )
    probe.answer |= learned_fields(replies)
    _open_row(probe).update(steps=probe.steps, answer=probe.answer, state=State.ASKING)


def _fail(probe: PeerProbe, reason: str) -> bool:
    return _finish(probe, State.FAILED, reason)


def _finish(probe: PeerProbe, state: State, reason: str) -> bool:
    now = timezone.now()
    _open_row(probe).update(state=state, reason=reason, finished_at=now, specification=Sealed())
    return False


def _open_row(probe: PeerProbe) -> QuerySet[PeerProbe]:
    """Return a queryset of the probe, empty if the probe has finished."""
    return PeerProbe.objects.filter(pk=probe.pk, state__in=OPEN_STATES)
