"""What one charon says and shows, on its way into the database: collected, and seldom written."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils import timezone

from vpnportal import hearings
from vpnportal.device.events import Event
from vpnportal.device.unreachable import Unreachable
from vpnportal.domain.desired import Shape
from vpnportal.domain.hearing import Ears
from vpnportal.domain.names import tunnel_id
from vpnportal.domain.noticing import Facts, Notices
from vpnportal.domain.observed import IkeSa
from vpnportal.models import Concentrator

log = logging.getLogger(__name__)

# An attempt that fails is over in less time than this; it is written down as a whole.
GATHER_SECONDS = 0.3
# A tunnel is written down once in so long, and so many of them at a time.
WRITE_SECONDS = 1.0
TUNNELS_AT_ONCE = 200


class Listening:
    """The hearings of one concentrator, for one lifetime of its charon."""

    def __init__(self, lane: Concentrator) -> None:
        self._lane = lane
        self._ears = Ears(era=format(int(time.time()), "x"))
        self._owners = hearings.Owners(lane)
        self._notices = Notices(hearings.facts_of(lane))
        self._facts: dict[int, Facts] = {}
        self._write_at: float | None = None
        self._written_at = 0.0
        self._errors = _errors()

    def close(self) -> None:
        """Hear no more, and write down what was heard."""
        if self._errors:
            self._errors.close()
        self._write()

    def hear(self, event: Event) -> None:
        """One event of charon's, or none."""
        at = timezone.now()
        if event.said:
            if loaded := self._ears.hear(event.said, at):
                self._facts |= self._notices.loaded(loaded)
        elif event.child_down:
            for name in event.connections:
                self._facts |= self._notices.went_down(tunnel_id(name), at)
        for refusal in self._errors.heard() if self._errors else ():
            self._ears.refused(refusal.ends, refusal.text, at)

    def look(
        self, loaded: Mapping[str, Shape], running: Iterable[IkeSa], at: datetime, everything: bool
    ) -> None:
        """What charon lists of some of its connections, or of all."""
        self._facts |= self._notices.look(loaded, running, at, everything)

    def write_what_is_due(self) -> None:
        """To be called often; it does nothing most of the time."""
        if not (self._facts or self._ears.waiting):
            return
        now = time.monotonic()
        if self._write_at is None:
            self._write_at = max(now + GATHER_SECONDS, self._written_at + WRITE_SECONDS)
        if now >= self._write_at:
            self._write()

    def _write(self) -> None:
        heard = self._ears.take(self._owners, TUNNELS_AT_ONCE)
        facts, self._facts = self._facts, {}
        hearings.note(self._lane, heard, facts)
        self._write_at, self._written_at = None, time.monotonic()


def _errors() -> Unreachable | None:
    """Only root may listen to ICMP; without it a port that is refused looks like a silent one."""
    try:
        return Unreachable()
    except PermissionError:
        log.warning("ICMP errors cannot be heard: this process may not open raw sockets")
        return None
