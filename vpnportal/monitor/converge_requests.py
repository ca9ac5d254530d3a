"""What a watch asks its lane for: no request is lost, and a flapping peer fills no lane."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.planning.sa_status import UNSETTLED, SaStatus
from vpnportal.models import Concentrator, Revision
from vpnportal.reconciler import first_rekey, trials, tunnel_commands

# One tunnel is asked for again after so long, and after twice as long each time while it does not
# come up: a device that refuses it goes up and down for ever. What comes sooner waits for that.
AGAIN_SECONDS, MOST_SECONDS = 1.0, 60.0
# A revision that is still queued then waits for a message that is not coming, or for a worker.
FORGOTTEN_AFTER = timedelta(seconds=3)
FORGOTTEN_AGAIN_SECONDS = 5.0


class ConvergeRequests:
    """The requests of one watch; `send_due` is called about once a second."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._asked: dict[int, float] = {}
        self._again: dict[int, float] = {}
        self._reminded: dict[int, float] = {}
        self._waiting: set[int] = set()

    def everything(self) -> None:
        """Look again at the whole concentrator."""
        tasks.request_converge(self._concentrator)

    def after(self, tunnel: int, seen: SaStatus | None) -> None:
        """Whatever a tunnel needs that was seen like this just now."""
        if seen is SaStatus.UP:
            self._again.pop(tunnel, None)
        due = first_rekey.due(self._concentrator).filter(tunnel_id=tunnel)
        if seen in UNSETTLED or (seen is SaStatus.UP and due.exists()):
            self.tunnel(tunnel)

    def tunnel(self, tunnel: int) -> None:
        """Look again at one tunnel, now or as soon as it may be asked for again."""
        now, again = time.monotonic(), self._again.get(tunnel, AGAIN_SECONDS)
        since = now - self._asked.get(tunnel, -MOST_SECONDS)
        if since < again:
            self._waiting.add(tunnel)
            return
        self._waiting.discard(tunnel)
        self._asked[tunnel] = now
        # Whoever was quiet for long begins anew.
        longer = min(again * 2, MOST_SECONDS)
        self._again[tunnel] = AGAIN_SECONDS if since > MOST_SECONDS else longer
        tasks.request_converge(self._concentrator, tunnel)

    def send_due(self) -> None:
        """Those that waited, those whose message was lost, and those whose trial is over."""
        for tunnel in tuple(self._waiting):
            self.tunnel(tunnel)
        overdue = timezone.now() - FORGOTTEN_AFTER
        queued = Revision.objects.filter(
            concentrator=self._concentrator, outcome=Revision.Outcome.QUEUED, created_at__lt=overdue
        )
        forgotten = {*queued.values_list("tunnel_id", flat=True)}
        forgotten |= {*trials.due(self._concentrator).values_list("tunnel_id", flat=True)}
        asked = tunnel_commands.pending(self._concentrator).filter(requested_at__lt=overdue)
        forgotten |= {*asked.values_list("tunnel_id", flat=True)}
        for tunnel in forgotten:
            self._remind(tunnel)

    def _remind(self, tunnel: int) -> None:
        """Somebody waits for it, so it does not wait as long as a tunnel that goes up and down."""
        now = time.monotonic()
        if now - self._reminded.get(tunnel, -FORGOTTEN_AGAIN_SECONDS) >= FORGOTTEN_AGAIN_SECONDS:
            self._reminded[tunnel] = now
            tasks.request_converge(self._concentrator, tunnel)
