"""What a watch asks its lane for: no request is lost, and a flapping peer fills no lane."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

from vpnportal import first_rekeys, tasks, trials
from vpnportal.domain.sight import UNSETTLED, Association
from vpnportal.models import Concentrator, Revision

# One tunnel is asked for again after so long; a request that comes sooner waits for that.
AGAIN_SECONDS = 1.0
# A revision that is still queued then waits for a message that is not coming, or for a worker.
FORGOTTEN_AFTER = timedelta(seconds=3)
FORGOTTEN_AGAIN_SECONDS = 5.0


class Requests:
    """The requests of one watch; `send_due` is called about once a second."""

    def __init__(self, lane: Concentrator) -> None:
        self._lane = lane
        self._asked: dict[int, float] = {}
        self._waiting: set[int] = set()

    def everything(self) -> None:
        """Look again at the whole concentrator."""
        tasks.request_converge(self._lane)

    def after(self, tunnel: int, seen: Association | None) -> None:
        """Whatever a tunnel needs that was seen like this just now."""
        due = first_rekeys.due(self._lane).filter(tunnel_id=tunnel)
        if seen in UNSETTLED or (seen is Association.UP and due.exists()):
            self.tunnel(tunnel)

    def tunnel(self, tunnel: int, again: float = AGAIN_SECONDS) -> None:
        """Look again at one tunnel, now or as soon as it may be asked for again."""
        now = time.monotonic()
        if now - self._asked.get(tunnel, -again) < again:
            self._waiting.add(tunnel)
            return
        self._waiting.discard(tunnel)
        self._asked[tunnel] = now
        tasks.request_converge(self._lane, tunnel)

    def send_due(self) -> None:
        """Those that waited, those whose message was lost, and those whose trial is over."""
        for tunnel in tuple(self._waiting):
            self.tunnel(tunnel)
        overdue = timezone.now() - FORGOTTEN_AFTER
        queued = Revision.objects.filter(
            concentrator=self._lane, outcome=Revision.Outcome.QUEUED, created_at__lt=overdue
        )
        forgotten = {*queued.values_list("tunnel_id", flat=True)}
        forgotten |= {*trials.over(self._lane).values_list("tunnel_id", flat=True)}
        for tunnel in forgotten:
            if time.monotonic() - self._asked.get(tunnel, 0.0) >= FORGOTTEN_AGAIN_SECONDS:
                self.tunnel(tunnel)
