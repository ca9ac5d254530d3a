"""Where the time goes: a profile of one changed tunnel and of a converge with nothing to do."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator

from tests.bench.bench import Bench
from tests.bench.figures import Figure
from tests.bench.portal import changed
from tests.bench.stage import Stage

LINES = 30


def run(bench: Bench) -> Iterator[Figure]:
    """Prints; there is no figure in it, because a profiler slows what it looks at."""
    with bench.small.inside():
        one_change(bench.small, "One changed tunnel of 10")
    with bench.large.inside():
        bench.large.converge()
        one_change(bench.large, "One changed tunnel of 10,000")
        told("Nothing to do, 10,000 tunnels, 50,000 mappings", bench.large.converge)
    yield from ()


def one_change(stage: Stage, what: str) -> None:
    """The fourth tunnel, changed twice: the first time warms up."""
    first, second = (changed(stage.specs[3], number) for number in (1, 2))
    stage.portal.apply([first])
    stage.settled(first)
    stage.portal.apply([second])
    told(what, lambda: stage.converge(second))
    stage.settled(second)


def told(what: str, action: Callable[[], object]) -> None:
    """Prints the costliest functions with, and then without, what they call."""
    profile = cProfile.Profile()
    profile.runcall(action)
    for order in ("cumulative", "tottime"):
        print(f"== {what}, by {order}")
        pstats.Stats(profile).sort_stats(order).print_stats(LINES)
