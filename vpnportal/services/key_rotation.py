"""Rotation of a preshared key: the concentrator accepts the old and the new key for some days.

The draft has the new key. Begin, end and cancel change the applied revision only, so other pending
changes stay pending.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from vpnportal.domain.gateway_config.compile import with_next_key_only
from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.encryption import CannotOpen, concentrator_key
from vpnportal.fields import Sealed
from vpnportal.models import Concentrator, Event, KeyRotation, Revision, Tunnel, record_event
from vpnportal.models.row_locks import lock_concentrator
from vpnportal.services.apply_draft import queue_revision
from vpnportal.services.edit_conflicts import KEY_FIELD, note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.remote_claims import lock_revisions_to_end
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_while_held

log = logging.getLogger(__name__)

ROTATION_DAYS = range(1, 90 + 1)
DEFAULT_ROTATION_DAYS = 7
DAYS_TEXT = f"Enter a number of days from {ROTATION_DAYS[0]} to {ROTATION_DAYS[-1]}."
NOT_LIVE = "The tunnel has no live revision, so no peer uses a key. Apply the new key instead."
MOVES = "The draft is for another concentrator. Apply the move first."
DISCONNECTED = "The tunnel is disconnected. Connect it first."
ON_TRIAL = "The live revision is on trial. Wait for the end of the trial."
NO_NEW_KEY = "The draft has the key of the live revision. Generate or enter a new key first."
RUNS = "Both keys are accepted already. Remove one of them first."
RUNS_NOT = "No rotation of the preshared key runs: the concentrator has one key."
UNREADABLE = "The live revision cannot be decrypted. Nothing was changed."
OLD_RELEASE = (
    "{concentrator} has the release {release}, which cannot hold two keys. Its operator must"
    " install the release of the portal, {ours}."
)
NOT_SEEN = (
    "The peer was not seen with the new key. If it has the old one, the tunnel ends at its next"
    " authentication. Confirm that the peer has the new key."
)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The rotation of a tunnel; `can_begin` is True if none runs and the draft has a new key."""

    running: KeyRotation | None
    can_begin: bool


def rotation_of(tunnel: Tunnel, applied: Revision | None) -> Rotation:
    """Return the rotation of a tunnel for its page; one query during a rotation, else none.

    `applied` is `TunnelState.live_or_applying`.
    """
    if applied is None or not tunnel.preshared_key:
        return Rotation(None, can_begin=False)
    try:
        spec, key = applied.opened, tunnel.preshared_key.open(tunnel.preshared_key_context)
    except CannotOpen:
        return Rotation(None, can_begin=False)
    if spec.next_key:
        row = KeyRotation.objects.filter(tunnel=tunnel).first()
        # A trial that failed may restore a revision with a key that was removed since.
        began_at = applied.created_at
        row = row or KeyRotation(tunnel=tunnel, began_at=began_at, ends_at=began_at)
        return Rotation(row, can_begin=False)
    return Rotation(None, key != spec.preshared_key)


def begin_rotation(tunnel: Tunnel, days: int, author: User) -> Revision:
    """Make the live revision accept the key of the draft, too, for a number of days.

    Raises Refused without a live revision or a new key, during a rotation, and if the gateway has
    an older release.
    """
    if days not in ROTATION_DAYS:
        raise Refused(Problem("rotation_days", DAYS_TEXT))
    with _locked(tunnel) as (fresh, live):
        key = fresh.preshared_key.open(fresh.preshared_key_context)
        _refuse_older_release(fresh.concentrator)
        spec = _opened(live)
        _refuse_if(bool(spec.next_key), RUNS)
        _refuse_if(not key or key == spec.preshared_key, NO_NEW_KEY)
        revision = _queue(fresh, live, replace(spec, next_key=key), author)
        KeyRotation.objects.update_or_create(
            tunnel=fresh,
            defaults={
                "author": author,
                "began_at": timezone.now(),
                "ends_at": timezone.now() + timedelta(days=days),
                "signs_with": KeyRotation.Key.OLD,
                "loaded": "",
                "loaded_at": None,
                "used": "",
                "used_at": None,
            },
        )
        _record(Event.Action.TUNNEL_KEY_ROTATION_BEGUN, author, revision, days=days)
    return revision


def end_rotation(tunnel: Tunnel, author: User | None, confirmed: bool = False) -> Revision:
    """Remove the old key. No SA is negotiated again.

    Raises Refused if the peer was not seen with the new key, unless that is `confirmed`, and
    without a rotation.
    """
    with _locked(tunnel) as (fresh, live):
        spec = _rotating(live)
        row = KeyRotation.objects.filter(tunnel=fresh).first()
        if not confirmed and not (row and row.peer_has_new_key):
            raise Refused(Problem("confirm_end", NOT_SEEN))
        key = concentrator_key(live.concentrator.name)
        revision = _queue(fresh, live, with_next_key_only(spec, key), author)
        KeyRotation.objects.filter(tunnel=fresh).delete()
        seen = bool(row and row.peer_has_new_key)
        _record(Event.Action.TUNNEL_KEY_ROTATION_ENDED, author, revision, peer_has_new_key=seen)
    return revision


def cancel_rotation(tunnel: Tunnel, author: User) -> Revision:
    """Remove the new key, from the draft too. Raises Refused without a rotation."""
    with _locked(tunnel) as (fresh, live):
        spec = _rotating(live)
        context = fresh.preshared_key_context
        if fresh.preshared_key.open(context) == spec.next_key:
            sealed = Sealed.of(spec.preshared_key, context)
            Tunnel.objects.filter(pk=fresh.pk).update(preshared_key=sealed)
            note_edits(fresh, [KEY_FIELD], author)
        revision = _queue(fresh, live, replace(spec, next_key=""), author)
        KeyRotation.objects.filter(tunnel=fresh).delete()
        _record(Event.Action.TUNNEL_KEY_ROTATION_CANCELLED, author, revision)
    return revision


def end_due_rotations() -> int:
    """Remove the old keys whose time is over, if the peer was seen with the new one.

    Returns how many. The others stay until an owner decides.
    """
    due = KeyRotation.objects.filter(ends_at__lte=timezone.now(), used=KeyRotation.Key.NEW)
    ended = 0
    for row in due.select_related("tunnel"):
        try:
            end_rotation(row.tunnel, None)
            ended += 1
        except Refused as refused:
            # An apply runs: the next minute tries again.
            log.info("The old key of %s stays: %s", row.tunnel, refused)
    return ended


@contextmanager
def _locked(tunnel: Tunnel) -> Iterator[tuple[Tunnel, Revision]]:
    """Lock a tunnel and the concentrator of its draft; yield it with its live revision."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        refuse_while_held(fresh)
        fresh.concentrator = lock_concentrator(fresh.concentrator_id)
        rows = fresh.revisions.live_or_applying().select_related("concentrator")
        newest = rows.order_by("-number").first()
        if newest is None or newest.unfinished:
            raise Refused(Problem("", NOT_LIVE))
        _refuse_if(fresh.concentrator_id != newest.concentrator_id, MOVES)
        _refuse_if(fresh.disconnected_at is not None, DISCONNECTED)
        _refuse_if(newest.trial_ends_at is not None, ON_TRIAL)
        yield fresh, newest


def _queue(tunnel: Tunnel, live: Revision, spec: TunnelSpec, author: User | None) -> Revision:
    expired = lock_revisions_to_end(tunnel, spec)
    revision = Revision.next_for(tunnel, spec, author)
    # No SA changes, so the first rekey of the live revision counts.
    revision.first_rekey = live.first_rekey
    queue_revision(tunnel, revision, spec, expired)
    return revision


def _record(
    action: Event.Action, author: User | None, revision: Revision, **values: object
) -> None:
    after = {"revision": revision.number, **values}
    actor = author or "the end of a rotation"
    record_event(action, actor=actor, tunnel=revision.tunnel, after=after)


def _opened(revision: Revision) -> TunnelSpec:
    try:
        return revision.opened
    except CannotOpen:
        raise Refused(Problem("", UNREADABLE)) from None


def _rotating(live: Revision) -> TunnelSpec:
    spec = _opened(live)
    _refuse_if(not spec.next_key, RUNS_NOT)
    return spec


def _refuse_older_release(concentrator: Concentrator) -> None:
    if _number(concentrator.release) < _number(settings.VERSION):
        release = concentrator.release or "an older one"
        text = OLD_RELEASE.format(concentrator=concentrator, release=release, ours=settings.VERSION)
        raise Refused(Problem("", text))


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdecimal())


def _refuse_if(condition: bool, text: str) -> None:
    if condition:
        raise Refused(Problem("", text))
