"""A running portal and one apply on it: who is held, what was typed, what must come of it."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.running_portal import RunningPortal, wait_for
from tests.system.faults import ground_truth, settings
from tests.system.faults.person import Answer, Person
from tests.system.faults.settings import Settings
from tests.system.faults.steps import SENT, Holds

SECONDS = 75
SOCKET = "redis/redis.sock"


@dataclass
class Scene:
    """`wanted` is what was applied last, as revision `number`; `typed` the draft at that time."""

    portal: RunningPortal
    holds: Holds
    person: Person
    wanted: Settings
    number: int
    typed: dict[str, Any] = field(default_factory=dict)
    step: str = ""
    applied: Future[Answer] = field(default_factory=Future)
    last_wrong: list[str] = field(default_factory=list)
    _log_at: int = 0
    _stopped: int = 0
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def apply_up_to(self, step: str) -> None:
        """Change everything, press Apply, and return while the apply is held at this step."""
        self.step, self.wanted = step, settings.other_than(self.wanted)
        settings.type_in(self.person, self.wanted, ground_truth.subnets(self.portal))
        self.typed = ground_truth.draft(self.portal)
        self._log_at = self._log.stat().st_size
        if step == SENT:
            self._stopped = self.portal.process("worker")
            os.kill(self._stopped, signal.SIGSTOP)
        else:
            self.holds.arm(step)
        self.applied = self._pool.submit(self.person.post, "/tunnels/1/apply/", {})
        if step == SENT:
            wait_for(self.applied.done, 30)
        else:
            self.holds.wait()
        self.number += 1
        assert max(ground_truth.revisions(self.portal)) == self.number

    def begin(self) -> None:
        """Everything runs again; what a cell that failed has left is no fault of the next one."""
        self.go_on()
        wait_for(self._all_run, 30)
        self.number = max(ground_truth.revisions(self.portal))
        networks = ground_truth.subnets(self.portal).keys()
        self.wanted = next(one for one in settings.BOTH if {*one.subnets} == networks)
        self.settle()

    def go_on(self) -> None:
        """Whoever is held and still lives goes on."""
        self.holds.release()
        if self._stopped:
            with suppress(ProcessLookupError):
                os.kill(self._stopped, signal.SIGCONT)
            self._stopped = 0

    def settle(self) -> float:
        """Seconds until nothing is wrong any more; AssertionError with what still is."""
        began = time.monotonic()
        while wrong := self.wrong():
            self.last_wrong = wrong
            assert time.monotonic() - began < SECONDS, wrong
            time.sleep(0.05)
        return time.monotonic() - began

    def wrong(self) -> list[str]:
        """All that is not as the newest applied revision says."""
        return ground_truth.wrong(self.portal, self.wanted, self.number)

    def apply_again(self) -> None:
        """Nothing hinders the next Apply; nothing is new, so it is done as soon as it is seen."""
        wait_for(self._all_run, 30)
        answer = self.person.post("/tunnels/1/apply/", {})
        assert answer.status == 200, answer
        self.number += 1
        wait_for(lambda: ground_truth.revisions(self.portal)[self.number] == "live", 30)

    def worker_said(self, *words: str) -> bool:
        """Whether the worker has logged any of these since Apply was pressed."""
        with self._log.open(errors="replace") as log:
            log.seek(self._log_at)
            news = log.read()
        return any(word in news for word in words)

    def _all_run(self) -> bool:
        names = ("redis-server", "gunicorn", "beat", "worker", "watch")
        redis = self.portal.run("redis-cli", "-s", str(self.portal.state / SOCKET), "ping")
        there = all(map(self.portal.processes, names)) and redis.stdout == "PONG\n"
        return there and self.person.reaches()

    @property
    def _log(self):
        return self.portal.state / "log" / "worker.log"
