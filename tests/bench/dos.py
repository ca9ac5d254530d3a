"""300 tunnels after a restart of the concentrator's charon, with its DoS limits and without."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from tests.bench.stage import QUIET, Stage

COUNT, ROUNDS = 300, 5
# charon tries again as it does by itself: first after four seconds.
NO_LIMITS = re.sub(r"retransmit_.*", "", QUIET)
LIMITS = NO_LIMITS.replace("dos_protection = no", "")


def run(bench: Bench) -> Iterator[Figure]:
    """Both ends have the same settings. A first restart of each warms up and does not count."""
    with stage("d", LIMITS) as limited, stage("f", NO_LIMITS) as free:
        measures = (
            lambda: restarted(limited, by_worker),
            lambda: restarted(free, by_worker),
            lambda: restarted(free, at_once),
        )
        ours, without, bare = (median(one) for one in in_turn(ROUNDS, *measures))
    name = f"{COUNT} tunnels up again with DoS limits"
    yield at_most(f"{name}, against without", ours, 2, without, "s")
    yield at_most(f"{name}, against bare and without", ours, 2, bare, "s")


def stage(name: str, more: str) -> AbstractContextManager[Stage]:
    """IKEv2, where a device also asks for cookies beyond 30 half-open IKE_SAs."""
    return Stage(name, COUNT, COUNT, ike_version=2, more=more, loaded=False).running()


def restarted(stage: Stage, load: Callable[[Stage], None]) -> float:
    """Seconds from charon's first answer until all tunnels are up."""
    charon = stage.many.concentrator
    with stage.inside():
        stage.many.kill(charon)
        while charon.answers():
            time.sleep(0.01)
        charon.wait(60)
        return milliseconds(lambda: load(stage)) / 1000


def by_worker(stage: Stage) -> None:
    """The worker converges again for as long as it says that something is left."""
    while stage.converge():
        pass
    stage.wait_until_up()


def at_once(stage: Stage) -> None:
    """charon is told everything, and starts it with the same call."""
    Bare(stage.socket).load_all(stage.desired(), start_action="start")
    stage.wait_until_up()
