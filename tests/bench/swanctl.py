"""A change of one tunnel by a new swanctl.conf and `swanctl --load-all`, with 10 to 5,000."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from lab.many_peers import ManyPeers
from lab.strongswan_conf import load_command
from tests.bench.bench import Bench
from tests.bench.bench_lab import PREFIX, STATE, BenchLab
from tests.bench.figures import Figure, in_turn, median, milliseconds
from tests.bench.one_change import ours
from tests.bench.portal import changed
from tests.desired_state import compile_specs
from vpnportal.domain.gateway_config.desired import Desired, ViciSection
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key

SIZES = (10, 100, 1_000, 5_000)
FLAT = 1.5


def run(bench: Bench) -> Iterator[Figure]:
    """Measure with swanctl as the floor, which loads unchanged connections again."""
    first = 0.0
    for size in SIZES:
        worker, swanctl = measure(bench, size)
        first = first or worker
        goal = f"value <= {FLAT:g} * that of {SIZES[0]}"
        name = f"one change, {size:,} tunnels, beside swanctl"
        yield Figure(name, worker, swanctl, "ms", goal, worker <= FLAT * first)


def measure(bench: Bench, size: int) -> tuple[float, float]:
    """Return the medians of the worker and of swanctl, in ms."""
    rounds = 10 if size <= 1_000 else 3
    with ManyPeers(PREFIX + "w", STATE / "w", 0).running() as empty:
        if size == SIZES[0]:
            times = in_turn(rounds, ours(bench.small), by_file(empty, bench.small.specs))
        else:
            with BenchLab(f"t{size}", size, 2, mappings=5).running() as lab:
                times = in_turn(rounds, ours(lab), by_file(empty, lab.specs))
    worker, swanctl = map(median, times)
    return worker, swanctl


def by_file(lab: ManyPeers, specs: Sequence[TunnelSpec]):
    """Return a measure that writes and loads a file; compiling does not count."""
    rounds = count(1)
    file = lab.folder / "all.conf"

    def measure() -> float:
        desired = compile_specs([changed(specs[0], next(rounds)), *specs[1:]], fingerprint_key())

        def change() -> None:
            write(file, desired)
            command = load_command(lab.concentrator.socket, file)
            subprocess.run(command, check=True, capture_output=True)

        return milliseconds(change)

    return measure


def write(file: Path, desired: Desired) -> None:
    """Write connections and secrets as a swanctl file."""
    secrets: ViciSection = {
        f"ike-{name}": {"id-1": secret.owners[0], "id-2": secret.owners[1], "secret": secret.data}
        for name, secret in desired.secrets.items()
    }
    connections: ViciSection = {
        name: connection.settings for name, connection in desired.connections.items()
    }
    file.touch(0o600)
    file.write_text(text({"connections": connections, "secrets": secrets}))


def text(section: ViciSection) -> str:
    """Return the text of a section, see strongswan.conf(5)."""
    return "\n".join(
        f"{name} {{\n{text(value)}\n}}"
        if isinstance(value, dict)
        else f"{name} = {value if isinstance(value, str) else ', '.join(value)}"
        for name, value in section.items()
    )
