"""`manage.py check_gateway`: check what a concentrator needs of its machine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from django.conf import settings

from vpnportal.gateway.requirements.all_requirements import check
from vpnportal.gateway.requirements.findings import Level
from vpnportal.management.finding_text import finding_text
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that runs on the gateway as the worker's user, without database and queue."""

    help = "Check the kernel, charon and routes of this concentrator. Status 1 if one is an error."
    json_help = "print a list of objects"
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(check(settings.VICI_SOCKET, settings.HOSTED_INTERFACES))
        self.answer(
            [asdict(finding) for finding in findings],
            "\n".join(finding_text(finding.level, finding) for finding in findings),
        )
        if any(finding.level is Level.ERROR for finding in findings):
            sys.exit(1)
