"""A change of one tunnel of 10 and of 10,000: the worker against the bare calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, cycle
from typing import TypeAlias

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds, without_goal
from tests.bench.portal import changed
from tests.desired_state import compile_specs
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key

Change: TypeAlias = Callable[[TunnelSpec, int], TunnelSpec]
ROUNDS = 25
# Changes that follow each other directly, and their rounds.
ROW, ROW_ROUNDS = 6, 7


def run(bench: Bench) -> Iterator[Figure]:
    """Measure a change of key life and of one mapping of a tunnel that is up.

    Each round takes another tunnel, because charon's walk to an IKE_SA depends on its position.
    """
    small = bench.small
    of_small = (ours(small), bare(small))
    few, few_bare = map(median, in_turn(ROUNDS, *of_small))
    yield at_most("one change, 10 tunnels, against bare calls", few, 2, few_bare)
    large = bench.large
    measures = (*of_small, ours(large), bare(large))
    few, few_bare, many, many_bare = map(median, in_turn(ROUNDS, *measures))
    yield at_most("one change, 10 tunnels beside 10,000, against bare calls", few, 2, few_bare)
    yield at_most("one change, 10,000 tunnels, against bare calls", many, 1.2, many_bare)
    yield without_goal("one change, 10,000 tunnels, beside 10 tunnels", many, few, "ms")
    (row,) = in_turn(ROW_ROUNDS, in_a_row(large))
    yield at_most("each of six in a row, 10,000 tunnels", median(row), 3, many_bare)
    both = ours(small, change_phase_one), ours(large, change_phase_one)
    few, many = map(median, in_turn(ROUNDS, *both))
    yield without_goal("another phase one, 10,000 tunnels, beside 10 tunnels", many, few, "ms")


def change_phase_one(spec: TunnelSpec, round_number: int) -> TunnelSpec:
    """Change the key life of phase one too: the worker then waits for the SA list."""
    changed_before = 2 * ROUNDS + ROW_ROUNDS + 4
    phase_one = replace(spec.phase_one, keylife=14_400 + round_number)
    return replace(changed(spec, changed_before + round_number), phase_one=phase_one)


def ours(lab: BenchLab, change: Change = changed) -> Callable[[], float]:
    """Return a measure of the worker, from its message to the end of the converge.

    A full converge comes before it, as in each minute: the bare calls have changed the ruleset,
    which only the portal changes on a gateway.
    """
    rounds, specs = count(1), cycle(lab.specs[: lab.played : 2])

    def measure() -> float:
        spec = change(next(specs), next(rounds))
        with lab.inside():
            lab.converge()
            lab.portal.apply([spec])
            duration = milliseconds(lambda: lab.converge(spec))
            lab.wait_until_settled(spec)
        return duration

    return measure


def in_a_row(lab: BenchLab) -> Callable[[], float]:
    """Return a measure of the worker for each of ROW changes.

    It includes a last converge, which waits until charon has begun all initiations.
    """
    rounds = count(ROUNDS + 2)

    def measure() -> float:
        number = next(rounds)
        specs = [changed(spec, number) for spec in lab.specs[:ROW]]
        with lab.inside():
            lab.portal.apply(specs)
            duration = milliseconds(lambda: [lab.converge(spec) for spec in (*specs, specs[-1])])
            for spec in specs:
                lab.wait_until_settled(spec)
        return duration / ROW

    return measure


def bare(lab: BenchLab) -> Callable[[], float]:
    """Return a measure of the bare calls: load-shared, load-conn, one transaction, initiate."""
    rounds, specs = count(1), cycle(lab.specs[1 : lab.played : 2])
    applied: dict[int, TunnelSpec] = {}

    def measure() -> float:
        first = next(specs)
        spec = changed(first, next(rounds))
        old = applied.get(spec.tunnel_id, first)
        applied[spec.tunnel_id] = spec
        before = compile_specs([old], fingerprint_key()).elements
        desired = compile_specs([spec], fingerprint_key())
        (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
        with lab.inside():
            calls = BareCalls(lab.socket)

            def change() -> None:
                calls.load(connection, secret)
                calls.translate(before - desired.elements, desired.elements - before)
                calls.initiate(connection)

            duration = milliseconds(change)
            # The portal needs the same revision.
            lab.portal.apply([spec])
            lab.wait_until_settled(spec)
        return duration

    return measure
