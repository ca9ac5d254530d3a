"""Profiles of the worker, and the time of each bare call."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator
from functools import partial

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, median, milliseconds
from tests.bench.portal import changed
from tests.bench.recovery import lose_state
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key

LINES, ROUNDS = 30, 7


def run(bench: Bench) -> Iterator[Figure]:
    """Print profiles; return no figures, because the profiler slows the code down."""
    for lab in (bench.small, bench.large):
        tunnels = f"{len(lab.specs):,} tunnels"
        with lab.inside():
            print(f"== Bare calls with {tunnels}, median of {ROUNDS}, in ms")
            for name, duration in bare_calls(lab).items():
                print(f"{name:<28}{duration:8.2f}")
            profile_one_change(lab, f"One changed tunnel of {tunnels}")
    with bench.large.inside():
        bench.large.converge()
        print_profile(f"Nothing to do, {tunnels}, 50,000 mappings", bench.large.converge)
        lose_state(bench.large)
        print_profile(f"Everything lost, {tunnels}", bench.large.converge)
    yield from ()


def bare_calls(lab: BenchLab) -> dict[str, float]:
    """Return the median of each call for a change of the third tunnel, and of its lists."""
    rounds = [_call_times(lab, number) for number in range(ROUNDS)]
    return {name: median(calls[name] for calls in rounds) for name in rounds[0]}


def _call_times(lab: BenchLab, number: int) -> dict[str, float]:
    spec = changed(lab.specs[2], number)
    desired = compile_specs([spec], fingerprint_key())
    (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
    calls, name = BareCalls(lab.socket), {"ike": connection.name}
    times = {
        "connect to charon": milliseconds(lambda: BareCalls(lab.socket).vici.version()),
        "load-shared, load-conn": milliseconds(lambda: calls.load(connection, secret)),
        "initiate": milliseconds(lambda: calls.initiate(connection)),
        "list-conns of one": milliseconds(lambda: list(calls.vici.list_conns(name))),
        "list-sas of one": milliseconds(lambda: list(calls.vici.list_sas(name))),
    }
    # The portal needs the same revision.
    lab.portal.apply([spec])
    lab.wait_until_settled(spec)
    return times


def profile_one_change(lab: BenchLab, title: str) -> None:
    """Profile a change of the fourth tunnel; a first change warms up."""
    first, second = (changed(lab.specs[3], number) for number in (1, 2))
    lab.portal.apply([first])
    lab.wait_until_settled(first)
    lab.portal.apply([second])
    print_profile(title, partial(lab.converge, second))
    lab.wait_until_settled(second)


def print_profile(title: str, action: Callable[[], object]) -> None:
    """Print the costliest functions, with and then without the functions that they call."""
    profile = cProfile.Profile()
    profile.runcall(action)
    for order in ("cumulative", "tottime"):
        print(f"== {title}, by {order}")
        pstats.Stats(profile).sort_stats(order).print_stats(LINES)
