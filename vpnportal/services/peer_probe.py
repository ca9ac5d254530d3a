"""Peer probes: find the algorithms of the peer, and write them to the draft on request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.addresses import peer_objection
from vpnportal.domain.peer_probe.result import LEARNED_FIELDS
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.fields import Sealed
from vpnportal.models import (
    AddressPool,
    Concentrator,
    Event,
    PeerProbe,
    Subnet,
    Tunnel,
    record_event,
)
from vpnportal.reconciler.peer_probe import OPEN_STATES, TIMED_OUT, is_overdue
from vpnportal.services.drafts import edit
from vpnportal.services.edit_conflicts import VERSION_UNKNOWN, SeenVersion, check_draft_version
from vpnportal.services.errors import Refused
from vpnportal.services.quotas import Quota, refuse_over_quota
from vpnportal.services.tunnel_conflicts import PROVIDER_KINDS
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

# A probe sends packets to an address that a user typed, so the rate is limited.
MAX_PROBES = 5
PROBE_WINDOW = timedelta(minutes=10)
UP = (SaStatus.UP, SaStatus.OLDER, SaStatus.PARTIAL)
PEER = "remote_peer"


def start_probe(tunnel: Tunnel, author: User) -> PeerProbe:
    """Queue a probe of the draft's peer. The worker saves the result in the probe.

    Raises Refused if the tunnel is up, a probe is running or the limit is reached. Raises Refused
    if the draft has no valid peer address, or by the quota of the account.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True, during_import=True) as fresh:
        if problems := tuple(_problems(fresh)):
            raise Refused(*problems)
        refuse_over_quota(fresh.account_id, Quota.PROBES)
        # A probe that expired keeps its draft until then.
        fresh.peer_probes.exclude(specification="").update(specification=Sealed())
        probe = PeerProbe.of(fresh, author, {PEER: str(fresh.remote_peer)})
        probe.save()
        after = {PEER: fresh.remote_peer}
        record_event(Event.Action.TUNNEL_PROBE_STARTED, actor=author, tunnel=fresh, after=after)
        tasks.request_probe(fresh.concentrator, probe.pk)
    return probe


def newest_probe(tunnel: Tunnel) -> PeerProbe | None:
    """Return the last probe of a tunnel, or None. An overdue probe is returned as failed."""
    probe = tunnel.peer_probes.first()
    if probe and probe.state in OPEN_STATES and is_overdue(probe):
        probe.state, probe.reason = PeerProbe.State.FAILED, TIMED_OUT
    return probe


def is_probe_open(probe: PeerProbe | None) -> bool:
    """Return True if the probe has no result yet."""
    return probe is not None and probe.state in OPEN_STATES


def is_probe_usable(tunnel: Tunnel, probe: PeerProbe) -> bool:
    """Return True if the probe has a result for the peer address of the draft."""
    is_answered = probe.state == PeerProbe.State.ANSWERED
    return is_answered and probe.answer.get(PEER) == tunnel.remote_peer


def learned_values(probe: PeerProbe) -> dict[str, str | int | bool]:
    """Return the values that the probe found, by field name of the draft.

    PostgreSQL keeps the keys of `answer` in an order of its own.
    """
    return {field: probe.answer[field] for field in LEARNED_FIELDS if field in probe.answer}


def use_learned_values(
    tunnel: Tunnel, probe: PeerProbe, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> None:
    """Save all learned values in the draft, or none. `seen` is the author's version of the draft.

    Raises Refused if the result is for another peer address.
    Raises EditConflict if another user edited one of the fields after `seen`.
    """
    with transaction.atomic(), lock_tunnel_for_edit(tunnel) as fresh:
        if not is_probe_usable(fresh, probe):
            text = "No result for this peer address. Detect the peer algorithms again."
            raise Refused(Problem(PEER, text))
        check_draft_version(fresh, author, seen, learned_values(probe))
        for field, value in learned_values(probe).items():
            edit(tunnel, field, value, author)
        after = learned_values(probe)
        record_event(Event.Action.TUNNEL_PROBE_USED, actor=author, tunnel=fresh, after=after)


def _problems(tunnel: Tunnel) -> Iterator[Problem]:
    peer = tunnel.remote_peer
    if not peer:
        yield Problem(PEER, "Enter the Remote Peer Address first.")
    elif objection := peer_objection(IPv4Address(peer)):
        yield Problem(PEER, objection)
    elif _is_provider_address(peer):
        text = f"{peer} is an address of the provider. Enter the address of the customer's device."
        yield Problem(PEER, text)
    elif tunnel.sa_status in UP:
        text = "Not probed while the tunnel is up: its peer accepts the applied settings."
        yield Problem("", text)
    elif is_probe_open(newest_probe(tunnel)):
        yield Problem("", "A probe of this peer is already running.")
    elif _is_limit_reached(tunnel):
        minutes = PROBE_WINDOW // timedelta(minutes=1)
        text = f"The limit is {MAX_PROBES} probes in {minutes} minutes. Try again later."
        yield Problem("", text)


def _is_provider_address(address: str) -> bool:
    network = IPv4Network(address)
    pools = AddressPool.objects.values_list("network", flat=True)
    return (
        Concentrator.objects.filter(public_address=address).exists()
        or Tunnel.objects.present().filter(hosted_peer=address).exists()
        or Subnet.objects.filter(kind__in=PROVIDER_KINDS).overlapping(network).exists()
        or any(network.overlaps(pool) for pool in pools)
    )


def _is_limit_reached(tunnel: Tunnel) -> bool:
    now = timezone.now()
    # Probes of the future are from before the clock was set back.
    window = (now - PROBE_WINDOW, now + PROBE_WINDOW)
    return tunnel.peer_probes.filter(created_at__range=window).count() >= MAX_PROBES
