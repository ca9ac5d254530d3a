"""One echo request from the gateway, for the health check of a trial."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address

DEADLINE_SECONDS = 3
# `ping` itself ends at the deadline; a name service or a stopped machine must not hold the worker.
TIMEOUT_SECONDS = 20


def ping(target: IPv4Address, source: IPv4Address | None, mark: int) -> bool:
    """Return True if the target answers an echo request before the deadline.

    `source` is an address of this gateway; with None the kernel chooses it. `mark` is the packet's.
    """
    origin = ("-I", str(source)) if source else ()
    marked = ("-m", str(mark)) if mark else ()
    process = subprocess.run(
        ("ping", "-n", "-q", "-c", "1", "-w", str(DEADLINE_SECONDS), *marked, *origin, str(target)),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return process.returncode == 0
