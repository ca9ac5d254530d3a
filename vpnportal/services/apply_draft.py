"""Apply Configurations: freeze the draft as a revision and queue it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.addresses import inside
from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.domain.tunnel.spec_diff import with_rotation
from vpnportal.encryption import CannotOpen
from vpnportal.models import (
    Event,
    KeyRotation,
    RefusedApply,
    RemoteClaim,
    Revision,
    Subnet,
    Tunnel,
    record_event,
)
from vpnportal.models.remote_claims import REFUSALS_COUNT_FOR
from vpnportal.models.row_locks import lock_concentrator
from vpnportal.reconciler.trials import MAX_TRIAL
from vpnportal.services.edit_conflicts import VERSION_UNKNOWN, SeenVersion, check_draft_version
from vpnportal.services.errors import Refused
from vpnportal.services.remote_claims import claim_networks, lock_revisions_to_end
from vpnportal.services.tunnel_conflicts import conflicts_with_others, own_conflicts
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_while_held
from vpnportal.services.tunnel_marks import EXHAUSTED, ensure_mark

TRIAL_SECONDS = range(5, int(MAX_TRIAL.total_seconds()) + 1)


@dataclass(frozen=True, slots=True)
class Trial:
    """Commit-confirm: after `seconds` the tunnel must be up, and `ping` must answer."""

    seconds: int
    ping: IPv4Address | None = None


def apply(
    tunnel: Tunnel, author: User, trial: Trial | None = None, seen: SeenVersion = VERSION_UNKNOWN
) -> Revision:
    """Freeze the draft as a queued revision and request a converge.

    With a trial, the worker restores the last good revision if the tunnel is not healthy in time.
    `seen` is the version of the draft that the author reviewed.
    Raises Refused if the specification has problems or conflicts with other tunnels, or if the
    tunnel waits for an operator after a restore.
    Raises EditConflict if another user edited the draft after `seen`.
    The account is locked: its applies reserve addresses one after the other.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        check_draft_version(fresh, author, seen)
        refuse_while_held(fresh)
        try:
            with transaction.atomic():
                return _freeze(fresh, author, trial)
        except _TakenByOthers as refused:
            # Outside of the inner transaction, so that the refusal is counted.
            taken = refused
            _count_refusal(fresh, author)
    raise taken


class _TakenByOthers(Refused):
    """A refusal that says that others have addresses which the draft needs."""


def _freeze(fresh: Tunnel, author: User, trial: Trial | None) -> Revision:
    """Save the draft of a locked tunnel as a revision. Raises Refused."""
    if not ensure_mark(fresh):
        raise Refused(Problem("", EXHAUSTED.format(fresh.concentrator)))
    fresh.concentrator = lock_concentrator(fresh.concentrator_id)
    spec = with_rotation_of(fresh, fresh.draft())
    problems = (*spec.problems(), *own_conflicts(fresh, spec), *_trial_problems(spec, trial))
    if problems:
        # Others are not compared: a draft that can never be applied would ask for free.
        raise Refused(*problems)
    _refuse_after_refusals(fresh, spec)
    if taken := tuple(conflicts_with_others(fresh, spec)):
        raise _TakenByOthers(*taken)
    expired = lock_revisions_to_end(fresh, spec)
    revision = Revision.next_for(fresh, spec, author)
    if trial:
        revision.trial_seconds = trial.seconds
        revision.trial_ping = str(trial.ping) if trial.ping else None
    queue_revision(fresh, revision, spec, expired)
    if not spec.next_key:
        # Another key was applied, and ended a rotation.
        KeyRotation.objects.filter(tunnel=fresh).delete()
    if fresh.disconnected_at:
        Tunnel.objects.filter(pk=fresh.pk).update(disconnected_at=None, disconnected_by=None)
    after = {"revision": revision.number, "trial_seconds": revision.trial_seconds}
    record_event(Event.Action.TUNNEL_APPLIED, actor=author, tunnel=fresh, after=after)
    return revision


def with_rotation_of(tunnel: Tunnel, draft: TunnelSpec) -> TunnelSpec:
    """Return a draft with the rotation of the applied revision, unless the draft has another key.

    The names of the tunnel's CHILD_SAs stay those of the revision, too, as far as they can.
    """
    applied = tunnel.revisions.live_or_applying().order_by("-number").first()
    try:
        return with_rotation(draft, applied.spec()) if applied else draft
    except CannotOpen:
        return draft


def queue_revision(
    tunnel: Tunnel, revision: Revision, spec: TunnelSpec, expired: Mapping[int, set[str]]
) -> None:
    """Save a new revision with its claims, and request a converge.

    `expired` is from `lock_revisions_to_end`. The tunnel and its concentrator must be locked.
    """
    # A revision that the worker did not start in time gives way to the newer settings.
    unfinished = tunnel.revisions.filter(outcome__in=Revision.UNFINISHED)
    unfinished.update(outcome=Revision.Outcome.REPLACED)
    revision.save()
    claim_networks(tunnel, revision, spec, expired)
    tasks.request_converge(tunnel.concentrator, tunnel.pk)


def _refuse_after_refusals(tunnel: Tunnel, spec: TunnelSpec) -> None:
    """Raise Refused after too many refusals, if the draft needs addresses it does not have yet."""
    limit = settings.REFUSED_APPLIES_PER_HOUR
    lately = RefusedApply.objects.filter(account=tunnel.account_id).lately()
    times = list(lately.values_list("at", flat=True)[:limit])
    if len(times) < limit or not _needs_new_addresses(tunnel, spec):
        return
    seconds = (min(times) + REFUSALS_COUNT_FOR - timezone.now()).total_seconds()
    text = (
        f"{limit} applies of this account were refused in the last hour because others have their "
        f"addresses. Apply new remote subnets and peers in {max(1, round(seconds / 60))} minutes. "
        "Other changes can be applied now."
    )
    raise Refused(Problem("remote_subnets", text))


def _needs_new_addresses(tunnel: Tunnel, spec: TunnelSpec) -> bool:
    held = RemoteClaim.objects.held().filter(revision__tunnel=tunnel)
    own = set(held.values_list("first", "last", "is_peer"))
    wanted = RemoteClaim.all_of(Revision(), spec)
    return any((claim.first, claim.last, claim.is_peer) not in own for claim in wanted)


def _count_refusal(tunnel: Tunnel, author: User) -> None:
    networks = map(str, tunnel.networks(Subnet.Kind.CUSTOMER))
    addresses = ", ".join((*networks, f"peer {tunnel.remote_peer}"))
    RefusedApply.objects.create(
        account_id=tunnel.account_id, tunnel=tunnel, author=author, addresses=addresses
    )


def _trial_problems(spec: TunnelSpec, trial: Trial | None) -> Iterator[Problem]:
    if trial is None:
        return
    if trial.seconds not in TRIAL_SECONDS:
        yield Problem("keep_seconds", "Enter a time from 5 to 3600 seconds.")
    if trial.ping and not inside(trial.ping, spec.remote_subnets):
        networks = ", ".join(str(network) for network in spec.remote_subnets)
        text = f"{trial.ping} is in no remote subnet. Enter an address in {networks}."
        yield Problem("keep_ping", text)
