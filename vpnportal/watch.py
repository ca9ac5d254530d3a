"""Listens to one charon: what changed goes into the database, and "look again" to the lane."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import NoReturn

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from vpnportal import reconcile, sightings, tasks
from vpnportal.device import DeviceError
from vpnportal.device.charon import Charon
from vpnportal.domain.names import tunnel_id
from vpnportal.domain.sight import Association, associations
from vpnportal.models import Concentrator, Revision

log = logging.getLogger(__name__)

# How long charon may be silent before it is asked whether it is still there.
HEARTBEAT_SECONDS = 5.0
# Associations that never came up raise no event, so everything is looked at, too: as often as
# this, or so seldom that looking takes a twentieth of the time.
LOOK_SECONDS = 10.0
LOOK_SHARE = 20
# A lost child is asked for again, but a flapping peer must not fill the lane.
ASK_AGAIN_SECONDS = 5.0
RETRY_SECONDS = 1.0
# A revision that is still queued then waits for a message that is not coming, or for a worker.
FORGOTTEN_AFTER = timedelta(seconds=3)


def watch(lane: Concentrator) -> NoReturn:
    """Go on for ever: a charon that goes away is waited for, and told of when it is back."""
    while True:
        try:
            _Watcher(lane).run()
        except DeviceError as error:
            sightings.note_unreachable(lane, reconcile.in_words(lane, error))
            log.warning("%s at %s: %s", lane, settings.VICI_SOCKET, error)
        close_old_connections()
        time.sleep(RETRY_SECONDS)


class _Watcher:
    """One charon's lifetime: two sessions, one to listen and one to look."""

    def __init__(self, lane: Concentrator) -> None:
        self._lane = lane
        self._asked: dict[int, float] = {}
        self._next_look = 0.0

    def run(self) -> None:
        """Until charon goes away, which is a DeviceError."""
        with Charon(settings.VICI_SOCKET) as ears, Charon(settings.VICI_SOCKET) as eyes:
            heard = ears.listen(HEARTBEAT_SECONDS)
            # What happened while nobody listened is found by the lane and by this first look.
            tasks.request_converge(self._lane)
            self._look_at_all(eyes)
            for name in heard:
                if name:
                    self._look_at(eyes, name)
                if time.monotonic() >= self._next_look:
                    self._look_at_all(eyes)
                elif not name:
                    sightings.note_in_sight(self._lane, eyes.userland_esp())
                if not name:
                    self._ask_for_forgotten()

    def _look_at_all(self, eyes: Charon) -> None:
        began, at = time.monotonic(), timezone.now()
        seen = associations(eyes.connections(), eyes.associations())
        sightings.note_all(self._lane, seen, at)
        sightings.note_in_sight(self._lane, eyes.userland_esp())
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(LOOK_SECONDS, took * LOOK_SHARE)

    def _look_at(self, eyes: Charon, name: str) -> None:
        at, tunnel = timezone.now(), tunnel_id(name)
        seen = associations(eyes.connections(name), eyes.associations(name))
        sightings.note_one(tunnel, seen, at)
        if seen.get(tunnel) in (Association.DOWN, Association.PARTIAL):
            self._ask_for(tunnel)

    def _ask_for_forgotten(self) -> None:
        """A message that a dying broker lost is sent again before the minute's converge."""
        overdue = timezone.now() - FORGOTTEN_AFTER
        queued = Revision.objects.filter(
            concentrator=self._lane, outcome=Revision.Outcome.QUEUED, created_at__lt=overdue
        )
        for tunnel in queued.values_list("tunnel_id", flat=True):
            self._ask_for(tunnel)

    def _ask_for(self, tunnel: int) -> None:
        now = time.monotonic()
        if now - self._asked.get(tunnel, -ASK_AGAIN_SECONDS) >= ASK_AGAIN_SECONDS:
            self._asked[tunnel] = now
            tasks.request_converge(self._lane, tunnel)
