"""`manage.py broker_user NAME`: print the line of a user for the ACL file of Redis."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.deployment.broker_access import PORTAL_USER, gateway_acl, portal_acl

MIN_PASSWORD = 32


class Command(BaseCommand):
    """Command that changes nothing; it reads the password from its standard input."""

    help = "Print the line of a user for Redis's ACL file. The password is the standard input."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help=f"{PORTAL_USER}, or the name of a concentrator for its gateway"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        password = sys.stdin.read().strip()
        # Its hash is not salted, so it must be too long to guess.
        if len(password) < MIN_PASSWORD or not password.isascii() or not password.isalnum():
            raise CommandError(
                f"The password needs {MIN_PASSWORD} or more letters and digits, as from "
                "`openssl rand -hex 24`."
            )
        name = options["name"]
        is_portal = name == PORTAL_USER
        self.stdout.write(portal_acl(password) if is_portal else gateway_acl(name, password))
