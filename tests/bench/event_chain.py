"""Sealing and verification of 1,000,000 events, in PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from secrets import token_urlsafe

from tests.bench.bench import Bench
from tests.bench.bench_lab import STATE
from tests.bench.figures import Figure, under
from tests.bench.scale import database

EVENTS = 1_000_000
VERIFY_LIMIT_SECONDS, MEMORY_LIMIT_MIB = 10, 200


def run(bench: Bench) -> Iterator[Figure]:
    """Measure in a process of its own, whose database is a PostgreSQL of its own."""
    folder = STATE / "event-chain"
    with database(folder) as url:
        environment = {
            **os.environ,
            "VPNPORTAL_STATE": str(folder),
            "VPNPORTAL_DATABASE_URL": url,
            "VPNPORTAL_BROKER": "memory://",
            "VPNPORTAL_SECRET_KEY": token_urlsafe(50),
        }
        command = (sys.executable, "-m", "tests.bench.event_chain_process", str(EVENTS))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        done.check_returncode()
    values = json.loads(done.stdout.splitlines()[-1])
    rate = EVENTS / values["seal"]
    yield Figure("events sealed in a second", rate, None, "1/s", "", True)
    text = f"{EVENTS:,} events: verify"
    yield under(text, values["verify"], VERIFY_LIMIT_SECONDS, "s")
    yield under(f"{text}, memory of a process", values["memory"], MEMORY_LIMIT_MIB, "MiB")
