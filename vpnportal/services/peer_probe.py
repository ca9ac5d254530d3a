"""Ask the peer what it accepts, and fill the draft in with its answer once somebody agreed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.addresses import peer_objection
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Concentrator, PeerProbe, Tunnel
from vpnportal.reconciler import peer_probe
from vpnportal.services.drafts import edit
from vpnportal.services.edit_conflicts import VERSION_UNKNOWN, SeenVersion, check_draft_version
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

# Each question sends packets to an address that somebody typed.
AT_MOST, WITHIN = 5, timedelta(minutes=10)
UP = (Tunnel.SaStatus.UP, Tunnel.SaStatus.OLDER, Tunnel.SaStatus.PARTIAL)
PEER = "remote_peer"


def start_probe(tunnel: Tunnel, author: User) -> PeerProbe:
    """Have the concentrator ask the draft's peer; the question's row tells what came of it.

    Refused while the tunnel is up, while it is asked already, and when it was asked too often.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        if problems := tuple(_problems(fresh)):
            raise Refused(*problems)
        asked = {PEER: str(fresh.remote_peer)}
        question = PeerProbe.objects.create(tunnel=fresh, author=author, answer=asked)
        tasks.request_probe(fresh.concentrator, question.pk)
    return question


def newest(tunnel: Tunnel) -> PeerProbe | None:
    """The last question about a tunnel; one that nobody finished in time has failed."""
    question = tunnel.peer_probes.first()
    if question and question.state in peer_probe.OPEN_STATES and peer_probe.is_overdue(question):
        question.state, question.reason = PeerProbe.State.FAILED, peer_probe.TIMED_OUT
    return question


def is_open(question: PeerProbe | None) -> bool:
    """Whether an answer is still to come."""
    return question is not None and question.state in peer_probe.OPEN_STATES


def fits(tunnel: Tunnel, question: PeerProbe) -> bool:
    """Whether the question has an answer, and is about the peer that the draft has now."""
    answered = question.state == PeerProbe.State.ANSWERED
    return answered and question.answer.get(PEER) == tunnel.remote_peer


def learned_values(question: PeerProbe) -> dict[str, str | int | bool]:
    """The answer as fields of the draft and their values, without the address it is about."""
    return {field: value for field, value in question.answer.items() if field != PEER}


def fill_in(
    tunnel: Tunnel, question: PeerProbe, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> None:
    """Keep the answer's fields in the draft, all or none; Refused like any other edit.

    `seen` is the version of the draft that the author saw: Overtaken if somebody else changed one
    of these fields since.
    """
    with transaction.atomic(), lock_tunnel_for_edit(tunnel) as fresh:
        if not fits(fresh, question):
            text = "This answer is about another address, or is none. Ask the peer again."
            raise Refused(Problem(PEER, text))
        check_draft_version(fresh, author, seen, learned_values(question))
        for field, value in learned_values(question).items():
            edit(tunnel, field, value, author)


def _problems(tunnel: Tunnel) -> Iterator[Problem]:
    peer = tunnel.remote_peer
    if not peer:
        yield Problem(PEER, "Enter the Remote Peer Address first: that is who is asked.")
    elif objection := peer_objection(IPv4Address(peer)):
        yield Problem(PEER, objection)
    elif _is_ours(peer):
        yield Problem(PEER, f"{peer} is at this end. Enter the address of the customer's device.")
    elif tunnel.sa_status in UP:
        yield Problem("", "The tunnel is up, so its peer accepts what is applied: it is not asked.")
    elif is_open(newest(tunnel)):
        yield Problem("", "The peer is being asked already.")
    elif _often(tunnel):
        minutes = WITHIN // timedelta(minutes=1)
        text = f"The peer was asked {AT_MOST} times within {minutes} minutes. Ask again later."
        yield Problem("", text)


def _is_ours(address: str) -> bool:
    """Whether it is a gateway's, or where a tunnel ends at this end."""
    gateways = Concentrator.objects.filter(public_address=address)
    return gateways.exists() or Tunnel.objects.present().filter(hosted_peer=address).exists()


def _often(tunnel: Tunnel) -> bool:
    now = timezone.now()
    recent = tunnel.peer_probes.filter(created_at__range=(now - WITHIN, now + WITHIN))
    return recent.count() >= AT_MOST
