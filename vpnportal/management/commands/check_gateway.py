"""`manage.py check_gateway`: check what a concentrator needs of its machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from vpnportal.gateway.requirements.all_requirements import check
from vpnportal.gateway.requirements.findings import Level
from vpnportal.management.finding_text import finding_text


class Command(BaseCommand):
    """Command that runs on the gateway as the worker's user, without database and queue."""

    help = "Check the kernel, charon and routes of this concentrator. Status 1 if one is an error."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list of objects")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(check(settings.VICI_SOCKET, settings.HOSTED_INTERFACES))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            for finding in findings:
                self.stdout.write(finding_text(finding.level, finding))
        if any(finding.level is Level.ERROR for finding in findings):
            sys.exit(1)
