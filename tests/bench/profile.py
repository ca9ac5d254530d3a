"""Where the time goes: a profile of one changed tunnel and of a converge with nothing to do."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator

from tests.bench.bench import Bench
from tests.bench.figures import Figure
from tests.bench.portal import changed

LINES = 30


def run(bench: Bench) -> Iterator[Figure]:
    """Prints; there is no figure in it, because a profiler slows what it looks at."""
    stage = bench.large
    with stage.inside():
        stage.converge()
        spec = changed(stage.specs[3], 1)
        stage.portal.apply([spec])
        told("One changed tunnel, 10,000 others", lambda: stage.converge(spec))
        stage.settled(spec)
        told("Nothing to do, 10,000 tunnels, 50,000 mappings", stage.converge)
    yield from ()


def told(what: str, action: Callable[[], object]) -> None:
    """Prints the costliest functions with, and then without, what they call."""
    profile = cProfile.Profile()
    profile.runcall(action)
    for order in ("cumulative", "tottime"):
        print(f"== {what}, by {order}")
        pstats.Stats(profile).sort_stats(order).print_stats(LINES)
