"""Recovery of 300 tunnels after a restart of charon, with its DoS limits and without."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import QUIET, BenchLab
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds

COUNT, ROUNDS = 300, 5
# With charon's default retransmissions, the first after four seconds.
NO_LIMITS = re.sub(r"retransmit_.*", "", QUIET)
LIMITS = NO_LIMITS.replace("dos_protection = no", "")


def run(bench: Bench) -> Iterator[Figure]:
    """Measure with equal settings at both peers; a first restart of each warms up."""
    with laboratory("d", LIMITS) as limited, laboratory("f", NO_LIMITS) as free:
        measures = (
            lambda: restart(limited, load_by_worker),
            lambda: restart(free, load_by_worker),
            lambda: restart(free, load_at_once),
        )
        ours, without, bare = map(median, in_turn(ROUNDS, *measures))
    name = f"{COUNT} tunnels up again with DoS limits"
    yield at_most(f"{name}, against without", ours, 2, without, "s")
    yield at_most(f"{name}, against bare and without", ours, 2, bare, "s")


def laboratory(name: str, more: str) -> AbstractContextManager[BenchLab]:
    """Make a laboratory with IKEv2, where a peer requests cookies beyond 30 half-open IKE_SAs."""
    return BenchLab(name, COUNT, COUNT, ike_version=2, more=more, loaded=False).running()


def restart(lab: BenchLab, load: Callable[[BenchLab], None]) -> float:
    """Return the seconds from charon's first reply until all tunnels are up."""
    charon = lab.many.concentrator
    with lab.inside():
        lab.many.kill(charon)
        while charon.answers():
            time.sleep(0.01)
        charon.wait(60)
        return milliseconds(lambda: load(lab)) / 1000


def load_by_worker(lab: BenchLab) -> None:
    """Converge until the worker reports that no initiation is left."""
    while lab.converge():
        pass
    lab.wait_until_up()


def load_at_once(lab: BenchLab) -> None:
    """Load everything with `start_action = start`."""
    BareCalls(lab.socket).load_all(lab.desired(), start_action="start")
    lab.wait_until_up()
