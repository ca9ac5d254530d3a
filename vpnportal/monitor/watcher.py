"""Listens to one charon: what changed goes into the database, and "look again" to the lane."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from itertools import chain
from typing import NoReturn

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.sa_status import fully_established, sa_status_by_tunnel
from vpnportal.gateway import GatewayError
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.models import Concentrator
from vpnportal.monitor.converge_requests import ConvergeRequests
from vpnportal.monitor.log_recorder import LogRecorder
from vpnportal.monitor.traffic_recorder import TrafficRecorder
from vpnportal.monitor.translation_usage import UsageReader
from vpnportal.reconciler import reconcile, revision_outcomes, sa_status_store

log = logging.getLogger(__name__)

# How long charon may be silent before it is asked whether it is still there.
HEARTBEAT_SECONDS = 5.0
# Associations that never came up raise no event, so everything is looked at, too: as often as
# this, or so seldom that looking takes a twentieth of the time.
LOOK_SECONDS = 10.0
LOOK_SHARE = 20
# What has waited for its time is looked for so often, also while nothing happens.
TICK_SECONDS = 1.0
WAKE_SECONDS = 0.25
RETRY_SECONDS = 1.0


def run_watcher(concentrator: Concentrator) -> NoReturn:
    """Go on for ever: a charon that goes away is waited for, and told of when it is back."""
    while True:
        try:
            Watcher(concentrator).run()
        except GatewayError as error:
            sa_status_store.save_unreachable(
                concentrator, reconcile.unreachable_text(concentrator, error)
            )
            log.warning("%s at %s: %s", concentrator, settings.VICI_SOCKET, error)
        close_old_connections()
        time.sleep(RETRY_SECONDS)


class Watcher:
    """One charon's lifetime: two sessions, one to listen and one to look."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._requests = ConvergeRequests(concentrator)
        self._readings = UsageReader(concentrator)
        self._strays = 0
        self._next_look = self._next_heartbeat = self._next_requests = 0.0

    def run(self) -> None:
        """Until charon goes away, which is a DeviceError."""
        with (
            CharonSession(settings.VICI_SOCKET) as ears,
            CharonSession(settings.VICI_SOCKET) as eyes,
            closing(LogRecorder(self._concentrator)) as self._listening,
            closing(TrafficRecorder(self._concentrator)) as self._counting,
        ):
            heard = ears.listen(WAKE_SECONDS)
            sa_status_store.save_capabilities(self._concentrator, eyes.algorithms(), eyes.version())
            # The first one begins to listen. What happened before is found by the lane and by the
            # first look.
            first = next(heard)
            self._requests.everything()
            self._look_at_all(eyes)
            for event in chain((first,), heard):
                self._listening.add(event)
                self._counting.ended(event.ended)
                self._strays += event.stray
                for name in event.connections:
                    self._look_at(eyes, name)
                self._do_what_is_due(eyes)

    def _do_what_is_due(self, eyes: CharonSession) -> None:
        now = time.monotonic()
        if now >= self._next_look:
            self._look_at_all(eyes)
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            sa_status_store.save_online(self._concentrator, eyes.userland_esp())
        if now >= self._next_requests:
            self._next_requests = now + TICK_SECONDS
            self._requests.send_due()
            if self._strays:
                sa_status_store.save_dropped_by_esp(self._concentrator, self._strays)
                self._strays = 0
        self._listening.write_what_is_due()
        self._counting.write_what_is_due()
        self._readings.read_when_due()

    def _look_at_all(self, eyes: CharonSession) -> None:
        began, at = time.monotonic(), timezone.now()
        loaded, (running, lines) = eyes.list_conns(), eyes.list_sas_with_counters(at)
        sa_status_store.save_all(self._concentrator, sa_status_by_tunnel(loaded, running), at)
        self._listening.observe(loaded, running, at, everything=True)
        self._counting.sample_all(loaded, lines, at)
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(LOOK_SECONDS, took * LOOK_SHARE)

    def _look_at(self, eyes: CharonSession, name: str) -> None:
        at, tunnel = timezone.now(), tunnel_id(name)
        loaded, (running, lines) = eyes.list_conns(name), eyes.list_sas_with_counters(at, name)
        seen = sa_status_by_tunnel(loaded, running)
        sa_status_store.save_one(self._concentrator, tunnel, seen, at)
        self._listening.observe(loaded, running, at, everything=False)
        self._counting.sample_one(loaded, lines, at, tunnel)
        if tunnel in fully_established(loaded, running):
            # The lane may look much later; a trial that begins meanwhile must know what was good.
            revision_outcomes.mark_accepted_by_peer(tunnel)
        self._requests.after(tunnel, seen.get(tunnel))
