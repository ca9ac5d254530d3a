"""One round of a question to a peer: some attempts, each kept in the question's row.

A round is short, so that the lane can do other work before the next one. What was learnt lies in
the row: whoever takes the next round goes on from there.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

from django.conf import settings
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.peer_probe.result import in_words, learned_fields, summary
from vpnportal.domain.peer_probe.strategy import next_offer, wants_phase_two
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import CannotOpen
from vpnportal.gateway import GatewayError
from vpnportal.gateway.peer_probe import PeerProber
from vpnportal.models import Concentrator, PeerProbe, Revision
from vpnportal.reconciler import reconcile

log = logging.getLogger(__name__)
State = PeerProbe.State
OPEN = (State.QUEUED, State.ASKING)
# A worker that died, or a message that was lost, leaves a question that nobody answers any more.
LASTS = timedelta(seconds=60)
OVERDUE = "The question was not finished in time: the concentrator's worker was busy or away."
# No further attempt is begun in a round after so long; one takes about two seconds at most.
ROUND_SECONDS = 0.4


def start_probe(question_id: int) -> bool:
    """Go on with a question; True when it needs another round. What it asks, its row tells."""
    question = PeerProbe.objects.filter(pk=question_id, state__in=OPEN).first()
    if question is None:
        return False
    if is_overdue(question):
        return _fail(question, OVERDUE)
    concentrator = question.tunnel.concentrator
    try:
        return _round(question, prober_for(concentrator))
    except CannotOpen:
        return _fail(question, "The preshared key cannot be read any more. Enter it again.")
    except GatewayError as error:
        return _fail(question, reconcile.unreachable_text(concentrator, error))


def prober_for(concentrator: Concentrator) -> PeerProber:
    """The gateway of a lane, which asks from where the lane's worker runs."""
    return PeerProber(settings.VICI_SOCKET)


def sweep(concentrator: Concentrator) -> None:
    """Take away what a worker that died has left of its questions, where charon can be reached."""
    try:
        prober_for(concentrator).sweep()
    except GatewayError as error:
        log.warning("Nothing was swept: %s", reconcile.unreachable_text(concentrator, error))


def is_overdue(question: PeerProbe) -> bool:
    """Whether it was asked so long ago that nobody waits for it any more."""
    return age_of(question.created_at) >= LASTS


def _round(question: PeerProbe, device: PeerProber) -> bool:
    spec = question.tunnel.draft()
    replies = [OfferReply.of_json(step["reply"]) for step in question.steps]
    if objection := _objection(question, spec, device):
        return _fail(question, objection)
    if not replies:
        device.sweep()
    can, deadline = device.algorithms(), time.monotonic() + ROUND_SECONDS
    while offer := next_offer(replies, can, wants_phase_two(spec)):
        replies.append(device.offer(spec, offer))
        _record(question, replies)
        if time.monotonic() >= deadline:
            return True
    if learned_fields(replies):
        return _end(question, State.ANSWERED, summary(replies, spec))
    return _fail(question, summary(replies, spec))


def _objection(question: PeerProbe, spec: TunnelSpec, device: PeerProber) -> str:
    """Why it must not be asked, or no longer; only the gateway itself can know all of it."""
    peer = question.answer.get("remote_peer", "")
    if question.tunnel.cancelled_at:
        return "The tunnel was cancelled."
    if Revision.objects.locking().filter(tunnel=question.tunnel).exists():
        return "A configuration was applied meanwhile. Ask again if its tunnel does not come up."
    if str(spec.remote_peer) != peer:
        return "The Remote Peer Address was changed meanwhile. Ask again."
    if device.owns(IPv4Address(peer)):
        return f"{peer} is the concentrator itself. Enter the address of the customer's device."
    if not device.owns(spec.hosted_peer):
        return f"The concentrator does not have the Hosted Peer Address {spec.hosted_peer}."
    if device.is_up(connection_of(spec.tunnel_id)):
        return "The tunnel is up: its peer accepts what is applied."
    return ""


def _record(question: PeerProbe, replies: list[OfferReply]) -> None:
    """The newest reply, and all that is known with it."""
    newest = replies[-1]
    step: dict[str, Any] = {
        "at": timezone.now().isoformat(),
        "text": in_words(newest),
        "ok": newest.heard in (OfferResult.SELECTED, OfferResult.REFUSED),
        "reply": newest.as_json(),
    }
    question.steps.append(step)
    question.answer |= learned_fields(replies)
    _open(question).update(steps=question.steps, answer=question.answer, state=State.ASKING)


def _fail(question: PeerProbe, reason: str) -> bool:
    return _end(question, State.FAILED, reason)


def _end(question: PeerProbe, state: State, reason: str) -> bool:
    _open(question).update(state=state, reason=reason, finished_at=timezone.now())
    return False


def _open(question: PeerProbe) -> Any:
    """Its row, unless it has its outcome already."""
    return PeerProbe.objects.filter(pk=question.pk, state__in=OPEN)
