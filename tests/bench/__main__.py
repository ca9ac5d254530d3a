"""`bin/bench`: measures, prints a table, writes the same as JSON into the file BENCH_JSON."""

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
    converge,
    dos,
    listing,
    lost,
    mappings,
    mappings_page,
    one_change,
    path,
    profile,
    swanctl,
    watchers,
)
from tests.bench.bench import Bench  # noqa: E402
from tests.bench.figures import Figure, heading, line, write  # noqa: E402

# In the order in which they share what they make; `lost` takes the large stage away.
ALL = {
    "one-change": one_change,
    "converge": converge,
    "lost": lost,
    "swanctl": swanctl,
    "mappings": mappings,
    "list": listing,
    "mappings-page": mappings_page,
    "api": api,
    "path": path,
    "dos": dos,
    "watchers": watchers,
    "click": click,
}
# Measures nothing: it prints where the time goes.
ON_DEMAND = {"profile": profile}


def main(names: list[str]) -> int:
    """0 unless a benchmark broke: a goal that is not reached is told in the table."""
    known = {**ALL, **ON_DEMAND}
    if names == ["--list"]:
        print("\n".join(known))
        return 0
    if unknown := [name for name in names if name not in known]:
        print(f"bin/bench does not know {', '.join(unknown)}; it knows {', '.join(known)}.")
        return 2
    # What the product logs of trials that are part of a measurement.
    logging.disable(logging.INFO)
    chosen = [name for name in known if name in names] if names else list(ALL)
    figures: list[Figure] = []
    bench = Bench()
    with bench.stack:
        broken = [name for name in chosen if not measured(bench, name, figures)]
    if figures:
        print("\n".join(("", heading(), *map(line, figures))))
        write(figures, Path(os.environ["BENCH_JSON"]))
    if broken:
        print(f"Broken: {', '.join(broken)}")
    return 1 if broken else 0


def measured(bench: Bench, name: str, figures: list[Figure]) -> bool:
    """Adds a benchmark's figures as they come; False if it broke, which stops no other one."""
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
