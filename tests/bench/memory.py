"""Runs as a process: how much memory a worker has after one tunnel, and at most during everything.

`python -m tests.bench.memory DATABASE SOCKET`, in the concentrator's namespace; KiB, as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
django.setup()

from tests.bench.portal import Portal  # noqa: E402
from vpnportal.reconciler import reconcile  # noqa: E402


def resident(name: str) -> int:
    """VmRSS (now) or VmHWM (the most so far) of this process, in KiB; see proc(5)."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def main(database: str, socket: str) -> None:
    """One tunnel first, so that all code and connections are there."""
    logging.disable(logging.INFO)
    concentrator = Portal(Path(database), Path(socket)).use().concentrator
    reconcile.converge(concentrator.pk, 1)
    # 5 sets the most so far to what there is now.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    reconcile.converge(concentrator.pk)
    print(json.dumps({"before": before, "peak": resident("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
