"""`bin/fuzz`: a database of its own, so many requests, and a summary; 1 if something was found."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from tests.fuzz import wire, world  # noqa: E402
from tests.fuzz.judging import Findings  # noqa: E402
from tests.fuzz.run import run, run_served  # noqa: E402

SHOWN = 10


def main(count: int, seed: int, served: bool) -> int:
    """Makes the database in the folder that the environment names."""
    Path(settings.DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    call_command("keys")
    call_command("migrate", verbosity=0)
    setup_test_environment()
    logging.disable(logging.WARNING)
    # Faults with status 500 are not errors; those of the doors tell where one was.
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    began = time.monotonic()
    made = world.make()
    if served:
        with wire.portal() as portal:
            findings = run_served(made, count, seed, portal.send_one)
    else:
        findings = run(made, count, seed)
    print(f"{count:,} requests (seed {seed}) in {time.monotonic() - began:.0f} seconds")
    _tell(findings)
    return 1 if findings.found else 0


def _tell(findings: Findings) -> None:
    for outcome, often in findings.outcomes.most_common():
        print(f"{often:9,}  {outcome}")
    print(f"The slowest answer took {findings.slowest:.2f} seconds.")
    print(f"{len(findings.found)} findings")
    for what, sent in findings.found[:SHOWN]:
        print(f"--- {what}\n{sent.verb} {sent.path[:500]!r} ? {sent.query[:500]!r}")
        print(repr(sent.body[:2_000]))


if __name__ == "__main__":
    words = [one for one in sys.argv[1:] if one != "--served"]
    numbers = [int(one) for one in words]
    sys.exit(main(*(numbers + [100_000, 1][len(numbers) :]), served="--served" in sys.argv))
