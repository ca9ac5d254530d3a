"""300 tunnels after a restart of the concentrator's charon, with its DoS limits and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median
from tests.bench.stage import QUIET, Stage

COUNT, ROUNDS = 300, 2
LIMIT_SECONDS = 120
# charon as it comes, but for what it logs: it tries again after four seconds, not ten minutes.
NO_LIMITS = QUIET.replace("retransmit_timeout = 600", "")
LIMITS = NO_LIMITS.replace("dos_protection = no", "")


def run(bench: Bench) -> Iterator[Figure]:
    """Both ends have the same settings. A first restart of each warms up and does not count."""
    with stage("d", LIMITS) as limited, stage("f", NO_LIMITS) as free:
        here, there = in_turn(ROUNDS, lambda: restarted(limited), lambda: restarted(free))
    name = f"{COUNT} tunnels up again, with DoS limits, against without"
    yield at_most(name, median(here), 2, median(there), "s")


def stage(name: str, more: str) -> AbstractContextManager[Stage]:
    """IKEv2, where a device also asks for cookies beyond 30 half-open IKE_SAs."""
    return Stage(name, COUNT, COUNT, ike_version=2, more=more, loaded=False).running()


def restarted(stage: Stage) -> float:
    """Seconds from charon's first answer until all tunnels are up; the worker does it alone."""
    charon = stage.many.concentrator
    with stage.inside():
        stage.many.kill(charon)
        while charon.answers():
            time.sleep(0.01)
        charon.wait(60)
        began = time.perf_counter()
        while stage.up() < COUNT:
            # With some left over it asks for itself again; else it hears of what came up.
            if not stage.converge():
                time.sleep(0.02)
            if time.perf_counter() - began > LIMIT_SECONDS:
                raise TimeoutError(f"{stage.up()} of {COUNT} tunnels are up again")
        return time.perf_counter() - began
