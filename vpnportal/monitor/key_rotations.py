"""Rotations of preshared keys, as the monitor sees them in charon's log.

A peer that rejects the concentrator's key has the other one: its next attempt finds that in use.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.diagnosis.key_rejection import key_attempt
from vpnportal.domain.diagnosis.log_collector import MAX_LINES, TunnelLog
from vpnportal.domain.diagnosis.log_lines import LogLine
from vpnportal.models import Concentrator
from vpnportal.reconciler import key_rotation

# Interval at which the tunnels with a rotation are read.
READ_SECONDS = 2.0
# An IKEv2 initiator rejects the answer of a responder within this time.
REJECTS_WITHIN = timedelta(seconds=5)
# The oldest attempts are forgotten.
MAX_ATTEMPTS = 1_000


class KeyRotations:
    """The rotations of one concentrator, for one lifetime of its charon."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._running: frozenset[int] = frozenset()
        self._read_at = -READ_SECONDS
        # Lines of recent attempts, by tunnel and IKE_SA.
        self._lines: OrderedDict[tuple[int, str], list[LogLine]] = OrderedDict()
        # The begin of authenticated attempts, and the time of their last line.
        self._authenticated: dict[tuple[int, str], tuple[datetime, datetime]] = {}

    def read(self, logs: Mapping[int, TunnelLog]) -> None:
        """Read new lines of tunnels: a rejected key is exchanged for the other one."""
        self._read_running()
        for tunnel in self._running & logs.keys():
            changed = {line.ike for line in logs[tunnel].lines if line.ike}
            for line in logs[tunnel].lines:
                if line.ike:
                    self._lines.setdefault((tunnel, line.ike), []).append(line)
            for ike in changed:
                self._judge((tunnel, ike))
        while len(self._lines) > MAX_ATTEMPTS:
            self._authenticated.pop(self._lines.popitem(last=False)[0], None)

    def confirm_due(self) -> None:
        """Record the key of each attempt that was authenticated and not rejected in time."""
        now = timezone.now()
        for key, (began_at, last_at) in tuple(self._authenticated.items()):
            if now - last_at >= REJECTS_WITHIN:
                del self._authenticated[key]
                key_rotation.note_used(key[0], began_at)

    def _read_running(self) -> None:
        now = time.monotonic()
        if now - self._read_at >= READ_SECONDS:
            self._read_at = now
            self._running = key_rotation.running(self._concentrator)

    def _judge(self, key: tuple[int, str]) -> None:
        tunnel, _ = key
        self._lines.move_to_end(key)
        lines = self._lines[key] = self._lines[key][-MAX_LINES:]
        attempt = key_attempt(lines)
        self._authenticated.pop(key, None)
        if attempt.is_rejected:
            if key_rotation.choose_other_key(tunnel, attempt.began_at):
                # At once: the peer may try again within a second.
                tasks.request_converge(self._concentrator, tunnel)
        elif attempt.is_authenticated:
            self._authenticated[key] = (attempt.began_at, lines[-1].at)
