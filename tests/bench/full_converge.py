"""A full converge with an empty plan: time, and memory at its peak."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, in_turn, median, milliseconds, under

ROUNDS = 5


def run(bench: Bench) -> Iterator[Figure]:
    """Measure against the same lists from charon and nftables, without using them."""
    lab = bench.large
    with lab.inside():
        # Records the changes of earlier benchmarks.
        lab.converge()

        def ours() -> float:
            return milliseconds(lab.converge) / 1000

        def bare() -> float:
            return milliseconds(BareCalls(lab.socket).list_all) / 1000

        times, floors = in_turn(ROUNDS, ours, bare)
        mebibytes = memory(lab)
    name = "nothing to do, 10,000 tunnels, 50,000 mappings"
    yield under(name, median(times), 2, "s", median(floors))
    yield under("the same, memory", mebibytes, 64, "MiB")


def memory(lab: BenchLab) -> float:
    """Return the peak of a separate worker minus its memory after one tunnel, in MiB."""
    name = lab.portal.file
    command = (sys.executable, "-m", "tests.bench.memory", name, str(lab.socket))
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    kibibytes = json.loads(process.stdout)
    return (kibibytes["peak"] - kibibytes["before"]) / 1024
