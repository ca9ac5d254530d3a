"""The monitor of one concentrator: records what charon reports, and requests converges."""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing
from itertools import chain
from typing import NoReturn

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.utils import timezone

from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.leftovers import KEEP_SECONDS
from vpnportal.domain.planning.sa_status import fully_established, sa_status_by_tunnel
from vpnportal.gateway import GatewayError
from vpnportal.gateway.network_changes import NetworkChanges
from vpnportal.gateway.vici.persistent_session import is_charon_listening
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.models import Concentrator
from vpnportal.monitor.converge_requests import ConvergeRequests
from vpnportal.monitor.key_rotations import KeyRotations
from vpnportal.monitor.log_recorder import LogRecorder
from vpnportal.monitor.traffic_recorder import TrafficRecorder
from vpnportal.monitor.translation_usage import UsageReader
from vpnportal.reconciler import reconcile, revision_outcomes, sa_status_store

log = logging.getLogger(__name__)

# Interval of the liveness check of charon.
HEARTBEAT_SECONDS = 5.0
# An SA that never came up raises no event, so the monitor also observes all SAs: at this interval,
# or less often, so that observing takes at most a twentieth of the time.
OBSERVE_SECONDS = 10.0
OBSERVE_SHARE = 20
# Interval of delayed converge requests and counters.
REQUEST_SECONDS = 1.0
# Shortest interval of the converges that changes of interfaces, addresses and routes request. The
# first change is requested within REQUEST_SECONDS.
NETWORK_SECONDS = 5.0
# Time from the connection to charon to the full converge that removes the kept leftovers.
LEFTOVERS_SECONDS = KEEP_SECONDS + 2.0
# The listener returns this often without an event, so that due work is done.
WAKE_SECONDS = 0.25
RETRY_SECONDS = 1.0
# Interval of the checks that find a charon that begins to listen.
LISTENS_SECONDS = 0.1


def run_watcher(name: str) -> NoReturn:
    """Watch a concentrator's charon for ever, also after charon or the database was away.

    Raises Concentrator.DoesNotExist if the database has no concentrator of this name.
    """
    logged = ""
    while True:
        try:
            _watch(Concentrator.objects.get(name=name))
            logged = ""
        except OperationalError as error:
            # Once for each outage, and not once a second.
            if logged != (text := str(error)):
                logged = text
                log.warning("The database cannot be reached: %s", text)
        close_old_connections()
        _wait_for_charon()


def _watch(concentrator: Concentrator) -> None:
    """Watch charon until it cannot be reached, and record the reason."""
    try:
        Watcher(concentrator).run()
    except GatewayError as error:
        text = reconcile.unreachable_text(concentrator, error)
        sa_status_store.save_unreachable(concentrator, text)
        log.warning("%s at %s: %s", concentrator, settings.VICI_SOCKET, error)


def _wait_for_charon() -> None:
    """Wait RETRY_SECONDS, or less if charon begins to listen meanwhile."""
    began_at, was_down = time.monotonic(), False
    while time.monotonic() - began_at < RETRY_SECONDS:
        listens = is_charon_listening(settings.VICI_SOCKET)
        if was_down and listens:
            return
        was_down |= not listens
        time.sleep(LISTENS_SECONDS)


class Watcher:
    """The monitor of one charon process, with a vici session for events and one for queries."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._requests = ConvergeRequests(concentrator)
        self._usage = UsageReader(concentrator)
        self._rotations = KeyRotations(concentrator)
        self._policy_drops = 0
        self._network, self._has_network_changed = NetworkChanges(), False
        self._next_network = 0.0
        self._next_observation = self._next_heartbeat = self._next_requests = 0.0
        self._leftovers_due = math.inf

    def run(self) -> None:
        """Record events until charon exits, which raises GatewayError."""
        with (
            CharonSession(settings.VICI_SOCKET) as event_session,
            CharonSession(settings.VICI_SOCKET) as query_session,
            closing(LogRecorder(self._concentrator, self._rotations.read)) as self._log,
            closing(TrafficRecorder(self._concentrator)) as self._traffic,
        ):
            events = event_session.listen(WAKE_SECONDS)
            sa_status_store.save_capabilities(
                self._concentrator, query_session.algorithms(), query_session.version()
            )
            # Reading the first event registers the listener. The full converge and the first
            # observation find what happened before.
            first = next(events)
            self._requests.request_all()
            self._network.noticed()
            if not query_session.userland_esp():
                self._leftovers_due = time.monotonic() + LEFTOVERS_SECONDS
            self._observe_all(query_session)
            for event in chain((first,), events):
                self._log.add(event)
                self._traffic.add_final(event.final_samples)
                self._policy_drops += event.is_policy_drop
                for name in event.connections:
                    self._observe_one(query_session, name)
                self._do_due_work(query_session)

    def _do_due_work(self, query_session: CharonSession) -> None:
        now = time.monotonic()
        if now >= self._next_observation:
            self._observe_all(query_session)
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            sa_status_store.save_online(self._concentrator, query_session.userland_esp())
        if now >= self._leftovers_due:
            self._leftovers_due = math.inf
            self._requests.request_all()
        if now >= self._next_requests:
            self._next_requests = now + REQUEST_SECONDS
            self._requests.send_due()
            self._rotations.confirm_due()
            self._request_after_network_change(now)
            if self._policy_drops:
                sa_status_store.save_dropped_by_esp(self._concentrator, self._policy_drops)
                self._policy_drops = 0
        self._log.write_if_due()
        self._traffic.write_if_due()
        self._usage.read_if_due()

    def _request_after_network_change(self, now: float) -> None:
        """Request the converge that follows the hosted side and the route into tunnels."""
        self._has_network_changed |= self._network.noticed()
        if self._has_network_changed and now >= self._next_network:
            self._has_network_changed = False
            self._next_network = now + NETWORK_SECONDS
            self._requests.request_all()

    def _observe_all(self, query_session: CharonSession) -> None:
        began, at = time.monotonic(), timezone.now()
        connections = query_session.list_conns()
        ike_sas, samples = query_session.list_sas_with_counters(at)
        status = sa_status_by_tunnel(connections, ike_sas)
        sa_status_store.save_all(self._concentrator, status, at)
        self._log.observe(connections, ike_sas, at, everything=True)
        self._traffic.sample_all(connections, samples, at)
        duration = time.monotonic() - began
        self._next_observation = time.monotonic() + max(OBSERVE_SECONDS, duration * OBSERVE_SHARE)

    def _observe_one(self, query_session: CharonSession, name: str) -> None:
        at, tunnel = timezone.now(), tunnel_id(name)
        connections = query_session.list_conns(name)
        ike_sas, samples = query_session.list_sas_with_counters(at, name)
        status = sa_status_by_tunnel(connections, ike_sas)
        sa_status_store.save_one(self._concentrator, tunnel, status, at)
        self._log.observe(connections, ike_sas, at, everything=False)
        self._traffic.sample_one(connections, samples, at, tunnel)
        if tunnel in fully_established(connections, ike_sas):
            # The worker may observe this much later. A trial that begins before then must know
            # that the revision was up.
            revision_outcomes.mark_accepted_by_peer(tunnel)
        self._requests.request_follow_up(tunnel, status.get(tunnel))
