"""`bin/bench`: run benchmarks, print a table and write it as JSON to the file BENCH_JSON."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
django.setup()

from tests.bench import (  # noqa: E402
    api,
    click,
    dos_limits,
    event_chain,
    full_converge,
    mappings,
    mappings_page,
    one_change,
    packet_path,
    profile,
    recovery,
    scale,
    status_polls,
    swanctl,
    tunnel_list,
)
from tests.bench.bench import Bench  # noqa: E402
from tests.bench.figures import Figure, heading, line, write  # noqa: E402

# In this order they can share laboratories; `lost` removes the large one.
ALL = {
    "one-change": one_change,
    "converge": full_converge,
    "lost": recovery,
    "swanctl": swanctl,
    "mappings": mappings,
    "list": tunnel_list,
    "mappings-page": mappings_page,
    "api": api,
    "path": packet_path,
    "dos": dos_limits,
    "watchers": status_polls,
    "click": click,
    "scale": scale,
    "audit": event_chain,
}
# Prints profiles and returns no figures, so it runs only by name.
ON_DEMAND = {"profile": profile}


def main(names: list[str]) -> int:
    """Return the exit status: 1 if a benchmark failed, 0 also if a goal is missed."""
    benchmarks = {**ALL, **ON_DEMAND}
    if names == ["--list"]:
        print("\n".join(benchmarks))
        return 0
    if unknown := [name for name in names if name not in benchmarks]:
        print(f"Unknown benchmarks: {', '.join(unknown)}. Known are {', '.join(benchmarks)}.")
        return 2
    # The measured code logs refusals that are part of a measurement.
    logging.disable(logging.INFO)
    chosen = [name for name in benchmarks if name in names] if names else list(ALL)
    figures: list[Figure] = []
    bench = Bench()
    with bench.stack:
        failed = [name for name in chosen if not measure(bench, name, figures)]
    if figures:
        print("\n".join(("", heading(), *map(line, figures))))
        write(figures, Path(os.environ["BENCH_JSON"]))
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


def measure(bench: Bench, name: str, figures: list[Figure]) -> bool:
    """Run a benchmark and append its figures; return False if it failed."""
    began = time.monotonic()
    try:
        for figure in {**ALL, **ON_DEMAND}[name].run(bench):
            figures.append(figure)
            print(line(figure), flush=True)
    except Exception:
        traceback.print_exc()
        return False
    print(f"{name} took {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
