"""Where the time goes: profiles of the worker, and each bare call by itself."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator
from functools import partial

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, median, milliseconds
from tests.bench.lost import lose
from tests.bench.portal import changed
from tests.bench.stage import Stage
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key

LINES, ROUNDS = 30, 7


def run(bench: Bench) -> Iterator[Figure]:
    """Prints; there is no figure in it, because a profiler slows what it looks at."""
    for stage in (bench.small, bench.large):
        tunnels = f"{len(stage.specs):,} tunnels"
        with stage.inside():
            print(f"== Bare calls with {tunnels}, median of {ROUNDS}, in ms")
            for name, took in bare_calls(stage).items():
                print(f"{name:<28}{took:8.2f}")
            one_change(stage, f"One changed tunnel of {tunnels}")
    with bench.large.inside():
        bench.large.converge()
        told(f"Nothing to do, {tunnels}, 50,000 mappings", bench.large.converge)
        lose(bench.large)
        told(f"Everything lost, {tunnels}", bench.large.converge)
    yield from ()


def bare_calls(stage: Stage) -> dict[str, float]:
    """Each call that a change of the third tunnel needs, and the questions about it."""
    rounds = [_calls(stage, number) for number in range(ROUNDS)]
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def _calls(stage: Stage, number: int) -> dict[str, float]:
    spec = changed(stage.specs[2], number)
    desired = compile_specs([spec], fingerprint_key())
    (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
    tools, name = Bare(stage.socket), {"ike": connection.name}
    took = {
        "connect to charon": milliseconds(lambda: Bare(stage.socket).vici.version()),
        "load-shared, load-conn": milliseconds(lambda: tools.load(connection, secret)),
        "initiate": milliseconds(lambda: tools.initiate(connection)),
        "list-conns of one": milliseconds(lambda: list(tools.vici.list_conns(name))),
        "list-sas of one": milliseconds(lambda: list(tools.vici.list_sas(name))),
    }
    # So that the portal knows of it, too.
    stage.portal.apply([spec])
    stage.settled(spec)
    return took


def one_change(stage: Stage, what: str) -> None:
    """The fourth tunnel, changed twice: the first time warms up."""
    first, second = (changed(stage.specs[3], number) for number in (1, 2))
    stage.portal.apply([first])
    stage.settled(first)
    stage.portal.apply([second])
    told(what, partial(stage.converge, second))
    stage.settled(second)


def told(what: str, action: Callable[[], object]) -> None:
    """Prints the costliest functions with, and then without, what they call."""
    profile = cProfile.Profile()
    profile.runcall(action)
    for order in ("cumulative", "tottime"):
        print(f"== {what}, by {order}")
        pstats.Stats(profile).sort_stats(order).print_stats(LINES)
