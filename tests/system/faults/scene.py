"""A running portal, and an apply that a test holds at a step."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.running_portal import RunningPortal, wait_for
from tests.system.faults import ground_truth, settings
from tests.system.faults.person import Answer, Person
from tests.system.faults.probes import Probes
from tests.system.faults.settings import Settings
from tests.system.faults.steps import SENT, Holds

SETTLE_SECONDS = 75
# A start of Python takes ten seconds in a guest on a busy machine.
PATIENCE_SECONDS = 90
SOCKET = "redis/redis.sock"


@dataclass
class Scene:
    """The portal, the settings applied last as revision `number`, and the draft at that time."""

    portal: RunningPortal
    holds: Holds
    person: Person
    probes: Probes
    applied: Settings
    number: int
    draft: dict[str, Any] = field(default_factory=dict)
    step: str = ""
    apply_response: Future[Answer] = field(default_factory=Future)
    last_deviations: list[str] = field(default_factory=list)
    _log_offset: int = 0
    _stopped: int = 0
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def apply_up_to(self, step: str) -> None:
        """Change every setting, press Apply, and return while the apply is held at this step."""
        self.step, self.applied = step, settings.other_than(self.applied)
        settings.enter(self.person, self.applied, ground_truth.subnets(self.portal))
        self.draft = ground_truth.draft(self.portal)
        self._log_offset = self._log.stat().st_size
        if step == SENT:
            self._stopped = self.portal.process("worker", "concentrator")
            os.kill(self._stopped, signal.SIGSTOP)
        else:
            self.holds.arm(step)
        self.apply_response = self._pool.submit(self.person.post, "/tunnels/1/apply/", {})
        if step == SENT:
            wait_for(self.apply_response.done, PATIENCE_SECONDS)
        else:
            self.holds.wait()
        self.number += 1
        assert max(ground_truth.revisions(self.portal)) == self.number

    def prepare(self) -> None:
        """Wait until all processes run and the last apply is complete, also after a failed cell."""
        self.release()
        wait_for(self._all_running, PATIENCE_SECONDS)
        self.number = max(ground_truth.revisions(self.portal))
        networks = ground_truth.subnets(self.portal).keys()
        self.applied = next(
            candidate for candidate in settings.BOTH if {*candidate.subnets} == networks
        )
        self.settle()

    def release(self) -> None:
        """Let a held or stopped process continue, if it still exists."""
        self.holds.release()
        if self._stopped:
            with suppress(ProcessLookupError):
                os.kill(self._stopped, signal.SIGCONT)
            self._stopped = 0

    def settle(self) -> float:
        """Return the seconds until no source deviates.

        Raises AssertionError with the deviations after SETTLE_SECONDS.
        """
        started_at = time.monotonic()
        while deviations := self.deviations():
            self.last_deviations = deviations
            assert time.monotonic() - started_at < SETTLE_SECONDS, deviations
            time.sleep(0.1)
        return time.monotonic() - started_at

    def deviations(self) -> list[str]:
        """Return each difference of the first source that differs from the applied revision."""
        return ground_truth.deviations(self.portal, self.probes, self.applied, self.number)

    def answers(self) -> bool:
        """Return True if the customer's host answers under its new address."""
        old, new = settings.other_than(self.applied).internal, self.applied.internal
        return new in self.probes.answering(silent=old, speaking=new)

    def apply_again(self) -> None:
        """Apply the unchanged draft, and wait until that revision is live."""
        wait_for(self._all_running, PATIENCE_SECONDS)
        answer = self.person.post("/tunnels/1/apply/", {})
        assert answer.status == 200, answer
        self.number += 1
        wait_for(
            lambda: ground_truth.revisions(self.portal)[self.number] == "live", PATIENCE_SECONDS
        )

    def worker_logged(self, *texts: str) -> bool:
        """Return True if the worker has logged one of these texts since the last Apply."""
        with self._log.open(errors="replace") as log:
            log.seek(self._log_offset)
            logged = log.read()
        return any(text in logged for text in texts)

    def _all_running(self) -> bool:
        return (
            self.portal.run_all("redis-server", "gunicorn", "beat", "worker", "watch")
            and self._redis_answers()
            and self.person.reaches_portal()
        )

    def _redis_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.portal.state / SOCKET))
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
            except OSError:
                return False

    @property
    def _log(self):
        return self.portal.state / "log" / "worker.log"
