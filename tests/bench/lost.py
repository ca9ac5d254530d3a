"""Everything lost: charon restarted and nftables flushed, against a loop of bare loading calls."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, median, milliseconds
from tests.bench.stage import Stage
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key

ROUNDS = 3


def run(bench: Bench) -> Iterator[Figure]:
    """Ours is the whole converge, with what it starts; both begin with an empty charon."""
    stage, ours, floors = bench.large, [], []
    # With all that is to be loaded at hand: the floor reads no revision.
    desired = compile_specs(stage.specs, fingerprint_key())
    with stage.inside():
        for _ in range(ROUNDS):
            lose(stage)
            floors.append(milliseconds(lambda: Bare(stage.socket).load_all(desired)) / 1000)
            lose(stage)
            ours.append(milliseconds(stage.converge) / 1000)
    yield at_most("everything lost, 10,000 tunnels", median(ours), 1.5, median(floors), "s")
    bench.clear()


def lose(stage: Stage) -> None:
    """Returns when charon is back and holds nothing."""
    charon = stage.many.concentrator
    stage.many.kill(charon)
    subprocess.run(("nft", "flush", "ruleset"), check=True)
    while charon.answers():
        time.sleep(0.01)
    charon.wait(60)
    # What the old one left in the kernel is cleared away while this one starts.
    time.sleep(1)
