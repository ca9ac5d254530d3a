"""The same change by writing swanctl.conf anew and `swanctl --load-all`, at growing sizes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from lab.many_peers import ManyPeers
from lab.strongswan_conf import load_command
from tests.bench.bench import Bench
from tests.bench.figures import Figure, in_turn, median, milliseconds
from tests.bench.one_change import ours
from tests.bench.portal import changed
from tests.bench.stage import PREFIX, STATE, Stage
from tests.desired_state import compile_specs
from vpnportal.domain.gateway_config.desired import Desired, ViciSection
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key

SIZES = (10, 100, 1_000, 5_000)
FLAT = 1.5


def run(bench: Bench) -> Iterator[Figure]:
    """Theirs stands as the floor. What charon holds already, swanctl loads again."""
    first = 0.0
    for size in SIZES:
        mine, theirs = both(bench, size)
        first = first or mine
        goal = f"value <= {FLAT:g} * that of {SIZES[0]}"
        name = f"one change, {size:,} tunnels, beside swanctl"
        yield Figure(name, mine, theirs, "ms", goal, mine <= FLAT * first)


def both(bench: Bench, size: int) -> tuple[float, float]:
    """Medians in milliseconds: the worker's time, and the time by swanctl."""
    rounds = 10 if size <= 1_000 else 3
    with ManyPeers(PREFIX + "w", STATE / "w", 0).running() as theirs:
        if size == SIZES[0]:
            mine, swan = in_turn(rounds, ours(bench.small), by_file(theirs, bench.small.specs))
        else:
            with Stage(f"t{size}", size, 2, mappings=5).running() as stage:
                mine, swan = in_turn(rounds, ours(stage), by_file(theirs, stage.specs))
    return median(mine), median(swan)


def by_file(lab: ManyPeers, specs: Sequence[TunnelSpec]):
    """Compiling is not counted, writing the file and loading it is."""
    rounds = count(1)
    file = lab.folder / "all.conf"

    def measure() -> float:
        everything = compile_specs([changed(specs[0], next(rounds)), *specs[1:]], fingerprint_key())

        def change() -> None:
            write(file, everything)
            command = load_command(lab.concentrator.socket, file)
            subprocess.run(command, check=True, capture_output=True)

        return milliseconds(change)

    return measure


def write(file: Path, desired: Desired) -> None:
    """All connections and secrets as a swanctl file."""
    secrets: ViciSection = {
        f"ike-{name}": {"id-1": secret.owners[0], "id-2": secret.owners[1], "secret": secret.data}
        for name, secret in desired.secrets.items()
    }
    connections: ViciSection = {name: one.settings for name, one in desired.connections.items()}
    file.touch(0o600)
    file.write_text(text({"connections": connections, "secrets": secrets}))


def text(section: ViciSection) -> str:
    """A section of settings, see strongswan.conf(5)."""
    return "\n".join(
        f"{name} {{\n{text(value)}\n}}"
        if isinstance(value, dict)
        else f"{name} = {value if isinstance(value, str) else ', '.join(value)}"
        for name, value in section.items()
    )
