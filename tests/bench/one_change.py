"""One changed tunnel: the worker's time with 10 and with 10,000 others, against the bare calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, cycle
from typing import TypeAlias

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from tests.bench.portal import changed
from tests.bench.stage import Stage
from tests.desired_state import compile_specs
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key

Change: TypeAlias = Callable[[TunnelSpec, int], TunnelSpec]
ROUNDS = 25
# Changes that follow each other at once.
ROW, ROW_ROUNDS = 6, 7


def run(bench: Bench) -> Iterator[Figure]:
    """Each changes a tunnel that is up: other key life, one other mapping.

    Another one in each round, ours and the bare calls' in turn: how far charon walks through its
    IKE_SAs until it finds that of a tunnel depends on the tunnel.
    """
    small, large = bench.small, bench.large
    measures = (ours(small), bare(small), ours(large), bare(large))
    few, few_bare, many, many_bare = (median(one) for one in in_turn(ROUNDS, *measures))
    yield at_most("one change, 10 tunnels, against bare calls", few, 3, few_bare)
    yield at_most("one change, 10,000 tunnels, against bare calls", many, 3, many_bare)
    yield at_most("one change, 10,000 tunnels, against 10 tunnels", many, 1.5, few)
    (row,) = in_turn(ROW_ROUNDS, in_a_row(large))
    yield at_most("each of six in a row, 10,000 tunnels", median(row), 3, many_bare)
    both = ours(small, with_another_ike), ours(large, with_another_ike)
    few, many = (median(one) for one in in_turn(ROUNDS, *both))
    yield at_most("another phase one, 10,000 tunnels, against 10 tunnels", many, 1.5, few)


def with_another_ike(spec: TunnelSpec, round_number: int) -> TunnelSpec:
    """The same change, and another key life of phase one: the worker waits to hear what dials."""
    changed_before = ROUNDS + ROW_ROUNDS + 4
    phase_one = replace(spec.phase_one, keylife=14_400 + round_number)
    return replace(changed(spec, changed_before + round_number), phase_one=phase_one)


def ours(stage: Stage, change: Change = changed) -> Callable[[], float]:
    """The worker's time from taking the message until it takes the next."""
    rounds, specs = count(1), cycle(stage.specs[: stage.played : 2])

    def measure() -> float:
        spec = change(next(specs), next(rounds))
        with stage.inside():
            stage.portal.apply([spec])
            took = milliseconds(lambda: stage.converge(spec))
            stage.settled(spec)
        return took

    return measure


def in_a_row(stage: Stage) -> Callable[[], float]:
    """The worker's time for each, and for a last look, which waits until charon began them all."""
    rounds = count(ROUNDS + 2)

    def measure() -> float:
        number = next(rounds)
        specs = [changed(spec, number) for spec in stage.specs[:ROW]]
        with stage.inside():
            stage.portal.apply(specs)
            took = milliseconds(lambda: [stage.converge(one) for one in (*specs, specs[-1])])
            for spec in specs:
                stage.settled(spec)
        return took / ROW

    return measure


def bare(stage: Stage) -> Callable[[], float]:
    """The same change: load-shared, load-conn, one transaction, initiate."""
    rounds, specs = count(1), cycle(stage.specs[1 : stage.played : 2])
    held: dict[int, TunnelSpec] = {}

    def measure() -> float:
        first = next(specs)
        spec = changed(first, next(rounds))
        old = held.get(spec.tunnel_id, first)
        held[spec.tunnel_id] = spec
        before = compile_specs([old], fingerprint_key()).elements
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
        return took

    return measure
