"""Recovery after charon was killed and nftables flushed, against a loop of bare load calls."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, at_most, median, milliseconds
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key

ROUNDS = 3


def run(bench: Bench) -> Iterator[Figure]:
    """Measure a full converge with its initiations; both begin with an empty charon."""
    lab, ours, floors = bench.large, [], []
    # The floor has all settings in memory and reads no revision.
    desired = compile_specs(lab.specs, fingerprint_key())
    with lab.inside():
        for _ in range(ROUNDS):
            lose_state(lab)
            floors.append(milliseconds(lambda: BareCalls(lab.socket).load_all(desired)) / 1000)
            lose_state(lab)
            ours.append(milliseconds(lab.converge) / 1000)
    yield at_most("everything lost, 10,000 tunnels", median(ours), 1.5, median(floors), "s")
    bench.clear()


def lose_state(lab: BenchLab) -> None:
    """Kill charon and flush nftables; return when charon answers again."""
    charon = lab.many.concentrator
    lab.many.kill(charon)
    subprocess.run(("nft", "flush", "ruleset"), check=True)
    while charon.answers():
        time.sleep(0.01)
    charon.wait(60)
    # The new charon removes the kernel state of the old one while it starts.
    time.sleep(1)
