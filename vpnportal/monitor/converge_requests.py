"""Converge requests of the monitor, repeated after lost messages and rate-limited per tunnel."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.planning.sa_status import UNSETTLED, SaStatus
from vpnportal.models import Concentrator, Revision
from vpnportal.reconciler import first_rekey, trials, tunnel_commands

# Back-off per tunnel, doubled at each request until the tunnel is up. A peer that refuses the
# tunnel makes it go up and down for ever.
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 1.0, 60.0
# A revision queued for longer waits for a lost message, or for a worker that does not run.
LOST_AFTER = timedelta(seconds=3)
REPEAT_LOST_SECONDS = 5.0


class ConvergeRequests:
    """The converge requests for one concentrator. Call `send_due` about once a second."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._requested_at: dict[int, float] = {}
        self._interval: dict[int, float] = {}
        self._repeated_at: dict[int, float] = {}
        self._delayed: set[int] = set()

    def request_all(self) -> None:
        """Request a converge of the whole concentrator."""
        tasks.request_converge(self._concentrator)

    def request_follow_up(self, tunnel: int, status: SaStatus | None) -> None:
        """Request a converge if a tunnel with this observed status needs one."""
        if status is SaStatus.UP:
            self._interval.pop(tunnel, None)
        due = first_rekey.due(self._concentrator).filter(tunnel_id=tunnel)
        if status in UNSETTLED or (status is SaStatus.UP and due.exists()):
            self.request_one(tunnel)

    def request_one(self, tunnel: int) -> None:
        """Request a converge of one tunnel, now or after its back-off."""
        now, interval = time.monotonic(), self._interval.get(tunnel, MIN_INTERVAL_SECONDS)
        elapsed = now - self._requested_at.get(tunnel, -MAX_INTERVAL_SECONDS)
        if elapsed < interval:
            self._delayed.add(tunnel)
            return
        self._delayed.discard(tunnel)
        self._requested_at[tunnel] = now
        is_quiet = elapsed > MAX_INTERVAL_SECONDS
        doubled = min(interval * 2, MAX_INTERVAL_SECONDS)
        self._interval[tunnel] = MIN_INTERVAL_SECONDS if is_quiet else doubled
        tasks.request_converge(self._concentrator, tunnel)

    def send_due(self) -> None:
        """Send delayed requests whose back-off is over.

        Also request a converge for lost messages and for trials whose time is over.
        """
        for tunnel in tuple(self._delayed):
            self.request_one(tunnel)
        before = timezone.now() - LOST_AFTER
        queued = Revision.objects.filter(
            concentrator=self._concentrator, outcome=Revision.Outcome.QUEUED, created_at__lt=before
        )
        commands = tunnel_commands.pending(self._concentrator).filter(requested_at__lt=before)
        for rows in (queued, trials.due(self._concentrator), commands):
            for tunnel in set(rows.values_list("tunnel_id", flat=True)):
                self._repeat(tunnel)

    def _repeat(self, tunnel: int) -> None:
        """Request a converge of one tunnel without back-off, at most every REPEAT_LOST_SECONDS."""
        now = time.monotonic()
        if now - self._repeated_at.get(tunnel, -REPEAT_LOST_SECONDS) >= REPEAT_LOST_SECONDS:
            self._repeated_at[tunnel] = now
            tasks.request_converge(self._concentrator, tunnel)
