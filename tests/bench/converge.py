"""A converge of everything that finds nothing to do: time, and memory at its peak."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, in_turn, median, milliseconds, under
from tests.bench.stage import Stage

ROUNDS = 5


def run(bench: Bench) -> Iterator[Figure]:
    """The floor has charon and nftables tell the same, and looks at nothing of it."""
    stage = bench.large
    with stage.inside():
        # Whatever others changed is written down first.
        stage.converge()

        def ours() -> float:
            return milliseconds(stage.converge) / 1000

        def bare() -> float:
            return milliseconds(Bare(stage.socket).look) / 1000

        times, floors = in_turn(ROUNDS, ours, bare)
        most = memory(stage)
    name = "nothing to do, 10,000 tunnels, 50,000 mappings"
    yield under(name, median(times), 2, "s", median(floors))
    yield under("the same, memory", most, 64, "MiB")


def memory(stage: Stage) -> float:
    """What a worker of its own needs more for it than for one tunnel, in MiB."""
    name = stage.portal.file
    command = (sys.executable, "-m", "tests.bench.memory", name, str(stage.socket))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seen = json.loads(done.stdout)
    return (seen["peak"] - seen["before"]) / 1024
