"""Bring a concentrator, or one tunnel of it, to what the newest revisions say, from anywhere."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from vpnportal import outcomes, sightings
from vpnportal.aim import Aim, aim_at
from vpnportal.device import DeviceError
from vpnportal.device.concentrator import Concentrator as Device
from vpnportal.domain.diff import diff
from vpnportal.domain.sight import associations
from vpnportal.models import Concentrator

# A pass that changed something is followed by a look; what came in between costs one more.
PASSES = 4
# A charon that is started again is back sooner. Without this, giving up a look that began long ago
# would fail an apply of a moment ago.
PATIENCE = timedelta(seconds=5)


def converge(concentrator_id: int, tunnel_id: int | None = None, give_up: bool = False) -> None:
    """Make the concentrator hold what the newest standing revisions say.

    With a tunnel, look at that one only; else at everything. DeviceError where it cannot be seen or
    changed; with `give_up`, the revisions that waited long enough have failed with that reason.
    """
    lane = Concentrator.objects.get(pk=concentrator_id)
    try:
        aim = _pursue(lane, tunnel_id)
    except DeviceError as error:
        if give_up:
            overdue = [one for one in aim_at(lane, tunnel_id).unfinished if one.age >= PATIENCE]
            outcomes.fail(overdue, in_words(lane, error))
        raise
    outcomes.finish(aim.unfinished)


def reach(lane: Concentrator) -> Device:
    """The device of a lane, which runs where its worker runs."""
    return Device(settings.VICI_SOCKET)


def in_words(lane: Concentrator, error: DeviceError) -> str:
    """Why a concentrator cannot be reached, for a person."""
    text = f"The concentrator {lane.name} cannot be reached: {error} {settings.CONCENTRATOR_NOTE}"
    return text.strip()


def _pursue(lane: Concentrator, tunnel_id: int | None) -> Aim:
    """Look, plan and act until a look finds nothing to do; children are started once only."""
    device = reach(lane)
    started = False
    for _ in range(PASSES):
        aim = aim_at(lane, tunnel_id)
        outcomes.begin(aim.unfinished)
        at = timezone.now()
        observed = device.observe(aim.scope)
        plan = diff(aim.desired, observed, aim.scope).sparing(aim.unreadable, aim.desired)
        if started:
            plan = plan.without_initiation()
        if not plan:
            seen = associations(observed.connections, observed.associations)
            if tunnel_id is None:
                sightings.note_all(lane, seen, at)
            else:
                sightings.note_one(tunnel_id, seen, at)
            return aim
        refused = device.apply(plan, observed.userland_esp, outcomes.recorder(aim.unfinished))
        outcomes.fail_refused(aim.revisions, refused)
        started = not refused
    raise DeviceError("It does not keep what it is given; somebody else changes it, too.")
