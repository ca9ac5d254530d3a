"""One changed tunnel: the worker's time with 10 and with 10,000 others, against the bare calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from tests.bench.portal import changed
from tests.bench.stage import Stage
from vpnportal.domain.compile import compile_specs
from vpnportal.seal import fingerprint_key

ROUNDS = 25
# Of the changes that follow each other at once, which charon answers while the worker goes on.
ROW, ROW_ROUNDS = slice(4, 10), 7


def run(bench: Bench) -> Iterator[Figure]:
    """Both halves of a round change one tunnel that is up: other key life, one other mapping."""
    small, large = bench.small, bench.large
    measures = (ours(small), bare(small), ours(large), bare(large))
    few, few_bare, many, many_bare = (median(one) for one in in_turn(ROUNDS, *measures))
    yield at_most("one change, 10 tunnels, against bare calls", few, 3, few_bare)
    yield at_most("one change, 10,000 tunnels, against bare calls", many, 3, many_bare)
    yield at_most("one change, 10,000 tunnels, against 10 tunnels", many, 1.5, few)
    few, many = (median(one) for one in in_turn(ROW_ROUNDS, in_a_row(small), in_a_row(large)))
    yield at_most("each of six in a row, 10,000 tunnels, against 10", many, 1.5, few)


def ours(stage: Stage) -> Callable[[], float]:
    """The worker's time from taking the message up until it takes the next; tunnel 1."""
    rounds = count(1)

    def measure() -> float:
        spec = changed(stage.specs[0], next(rounds))
        with stage.inside():
            stage.portal.apply([spec])
            took = milliseconds(lambda: stage.converge(spec))
            stage.settled(spec)
        return took

    return measure


def in_a_row(stage: Stage) -> Callable[[], float]:
    """The worker's time for each, with a last look that waits until charon began all of them."""
    rounds = count(1)

    def measure() -> float:
        number = next(rounds)
        specs = [changed(spec, number) for spec in stage.specs[ROW]]
        with stage.inside():
            stage.portal.apply(specs)
            took = milliseconds(lambda: [stage.converge(one) for one in (*specs, specs[-1])])
            for spec in specs:
                stage.settled(spec)
        return took / len(specs)

    return measure


def bare(stage: Stage) -> Callable[[], float]:
    """The same change to tunnel 2: load-shared, load-conn, one transaction, initiate."""
    rounds = count(1)
    before = compile_specs([stage.specs[1]], fingerprint_key()).elements

    def measure() -> float:
        nonlocal before
        spec = changed(stage.specs[1], next(rounds))
        desired = compile_specs([spec], fingerprint_key())
        (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
        with stage.inside():
            tools = Bare(stage.socket)

            def change() -> None:
                tools.load(connection, secret)
                tools.translate(before - desired.elements, desired.elements - before)
                tools.initiate(connection)

            took = milliseconds(change)
            # So that the portal knows of it, too.
            stage.portal.apply([spec])
            stage.settled(spec)
        before = desired.elements
        return took

    return measure
