"""Memory of a worker after one tunnel, and at its peak in a full converge.

`python -m tests.bench.memory DATABASE SOCKET`, in the concentrator's namespace, prints KiB as JSON.
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


def resident_kib(name: str) -> int:
    """Return VmRSS (current) or VmHWM (peak) of this process in KiB; see proc(5)."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def main(database: str, socket: str) -> None:
    """Converge one tunnel, which loads code and opens connections, then all tunnels."""
    logging.disable(logging.INFO)
    concentrator = Portal(Path(database), Path(socket)).use().concentrator
    reconcile.converge(concentrator.pk, 1)
    # 5 resets the peak to the current value.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_kib("VmRSS")
    reconcile.converge(concentrator.pk)
    print(json.dumps({"before": before, "peak": resident_kib("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
