"""`bin/fuzz`: malformed requests to an own database, and a summary; status 1 after a finding."""

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

from tests.fuzz import gunicorn_client, sample_accounts  # noqa: E402
from tests.fuzz.findings import Findings  # noqa: E402
from tests.fuzz.runner import run, run_served  # noqa: E402

MAX_SHOWN = 10


def main(count: int, seed: int, served: bool) -> int:
    """Send `count` requests; return the exit status."""
    Path(settings.DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    call_command("keys")
    call_command("migrate", verbosity=0)
    setup_test_environment()
    logging.disable(logging.WARNING)
    # Faults have status 500 and are no errors; internal errors are logged by the API itself.
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    began = time.monotonic()
    accounts = sample_accounts.make()
    if served:
        with gunicorn_client.portal() as portal:
            findings = run_served(accounts, count, seed, portal.send_request)
    else:
        findings = run(accounts, count, seed)
    print(f"{count:,} requests (seed {seed}) in {time.monotonic() - began:.0f} seconds")
    _print(findings)
    return 1 if findings.failures else 0


def _print(findings: Findings) -> None:
    for outcome, number in findings.outcomes.most_common():
        print(f"{number:9,}  {outcome}")
    print(f"The slowest reply took {findings.slowest:.2f} seconds.")
    print(f"{len(findings.failures)} findings")
    for failure, request in findings.failures[:MAX_SHOWN]:
        print(f"--- {failure}\n{request.verb} {request.path[:500]!r} ? {request.query[:500]!r}")
        print(repr(request.body[:2_000]))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--served"]
    sys.exit(main(*(numbers + [100_000, 1][len(numbers) :]), served="--served" in sys.argv))
