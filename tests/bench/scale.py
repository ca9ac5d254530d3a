"""A portal with up to 100,000 tunnels and 500,000 translations, in PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.bench.bench import Bench
from tests.bench.bench_lab import STATE
from tests.bench.figures import Figure, at_most, under
from tests.running_portal import ROOT

SIZES = (1_000, 10_000, 100_000)
# Milliseconds of a page by the number of tunnels, and of a full converge of a concentrator.
PAGE_LIMITS = {1_000: 150, 10_000: 150, 100_000: 300}
CONVERGE_LIMIT_MS, MEMORY_LIMIT_MIB = 2_000, 200
SECONDS = 900


def run(bench: Bench) -> Iterator[Figure]:
    """Measure in a process of its own, whose database is a PostgreSQL of its own."""
    folder = STATE / "scale"
    with database(folder) as url:
        environment = {
            **os.environ,
            "VPNPORTAL_STATE": str(folder),
            "VPNPORTAL_DATABASE_URL": url,
            "VPNPORTAL_BROKER": "memory://",
        }
        command = (sys.executable, "-m", "tests.bench.scale_process", *map(str, SIZES))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout
        applied: dict[int, float] = {}
        for line in process.stdout:
            measured = json.loads(line)
            yield figure(measured["size"], measured["name"], measured["value"], applied)
        if process.wait(SECONDS):
            raise RuntimeError("The measurement with PostgreSQL failed")


def figure(size: int, name: str, value: float, applied: dict[int, float]) -> Figure:
    """Return the figure of a measurement, with its goal."""
    text = f"{size:,} tunnels: {name}"
    if name.startswith("apply of one"):
        applied[size] = value
        return at_most(text, value, 1.2, applied[SIZES[0]])
    if name.startswith("full converge"):
        return under(text, value, CONVERGE_LIMIT_MS, "ms")
    if name.startswith("memory"):
        return under(text, value, MEMORY_LIMIT_MIB, "MiB")
    if name.startswith("seconds"):
        return Figure(text, value, None, "s", "", True)
    return under(text, value, PAGE_LIMITS[size], "ms")


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Run the PostgreSQL of bin/database in a folder for the block; provide its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "VPNPORTAL_STATE": str(folder)}
    program = ROOT / "bin" / "database"
    subprocess.run([program, "make"], env=environment, check=True)
    server = subprocess.Popen([program, "serve"], env=environment, stderr=subprocess.DEVNULL)
    try:
        subprocess.run([program, "wait"], env=environment, check=True)
        sockets = f"{folder}/postgresql/run"
        yield f"postgresql://vpnportal@/vpnportal?host={quote(sockets)}"
    finally:
        server.terminate()
        server.wait(30)
