"""`manage.py doctor`: say what is wrong with this portal or gateway, and what to do about it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from vpnportal.gateway.requirements.findings import Finding, Level
from vpnportal.management.doctor.all_checks import checks_of
from vpnportal.management.doctor.checks import Check, Doctor, Machine
from vpnportal.management.finding_text import finding_text
from vpnportal.management.json_command import JsonCommand

STATES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
STATUSES = {Level.OK: 0, Level.WARNING: 1, Level.ERROR: 2}


class Command(JsonCommand):
    """Command that changes nothing and prints no secret. Each check has a time limit.

    Its status is 0 if all checks are green, 1 with a yellow finding, and 2 with a red one or after
    a wrong use.
    """

    help = "Check this portal or gateway. Status 1 if something is yellow, 2 if something is red."
    json_help = "print a list of objects"
    failure_status = 2
    # A broken setting is one of the findings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only", nargs="+", metavar="NAME", default=[], help="run these checks only"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        machines = machines_here()
        checks = checks_of(machines)
        names = {check.name for check in checks}
        if unknown := sorted(set(options["only"]) - names):
            raise CommandError(
                f"There is no check {', '.join(unknown)} for a {' and '.join(sorted(machines))}. "
                f"The checks are {', '.join(sorted(names))}.",
                returncode=2,
            )
        chosen = [check for check in checks if not options["only"] or check.name in options["only"]]
        levels, entries = [], []
        # The findings say it. A log might name what a finding must not.
        logging.disable(logging.CRITICAL)
        try:
            for machine, finding in _findings(checks, chosen, machines):
                levels.append(finding.level)
                entries.append(_entry(machine, finding))
                if not self.is_json:
                    self.stdout.write(finding_text(STATES[finding.level], finding))
                    self.stdout.flush()
        finally:
            logging.disable(logging.NOTSET)
        self.answer(entries, "")
        if status := max(STATUSES[level] for level in levels):
            sys.exit(status)


def machines_here() -> frozenset[Machine]:
    """Return the roles of this machine.

    A machine with a session key is a portal, and one with a concentrator is a gateway. The packages
    say which one it is.
    """
    if settings.MACHINE:
        try:
            return frozenset({Machine(settings.MACHINE)})
        except ValueError:
            raise CommandError(
                "VPNPORTAL_MACHINE must be portal or gateway, or not set.", returncode=2
            ) from None
    machines = set()
    if settings.CONCENTRATOR:
        machines.add(Machine.GATEWAY)
    if _has_session_key() or not machines:
        machines.add(Machine.PORTAL)
    return frozenset(machines)


def _has_session_key() -> bool:
    try:
        return bool(settings.SECRET_KEY)
    except ImproperlyConfigured:
        return False


def _findings(
    checks: list[Check], chosen: list[Check], machines: frozenset[Machine]
) -> Iterator[tuple[Machine, Finding]]:
    doctor = Doctor(checks)
    for check in chosen:
        machine = max(check.machines & machines)
        for finding in doctor.findings(check.name):
            yield machine, finding


def _entry(machine: Machine, finding: Finding) -> dict[str, str]:
    return {
        "name": finding.requirement,
        "machine": machine.value,
        "state": STATES[finding.level],
        "found": finding.text,
        "advice": finding.remedy,
    }
