"""`manage.py lab`: makes, shows and removes the laboratory, and runs commands on its hosts."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.lab.laboratory import Laboratory
from vpnportal.lab.namespaces import LaboratoryError
from vpnportal.lab.topology import NAMES


class Command(BaseCommand):
    help = "The laboratory: a server, a concentrator, a customer's VPN device and a computer."
    # It has to work before there is a database or a key.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("up", "down", "status", "exec"))
        parser.add_argument("host", nargs="?", choices=NAMES, help="for exec")
        parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="command", help="for exec")

    def handle(self, *args: Any, **options: Any) -> None:
        laboratory = Laboratory(settings.LAB_PREFIX, settings.LAB_FOLDER)
        try:
            self.act(laboratory, options["action"], options["host"], options["argv"])
        except LaboratoryError as error:
            raise CommandError(str(error)) from error

    def act(self, laboratory: Laboratory, action: str, host: str, argv: list[str]) -> None:
        if action == "exec":
            if not argv:
                raise CommandError("exec needs a host and a command.")
            laboratory.exec(host, argv)
        elif action == "up":
            laboratory.up()
            self.stdout.write(laboratory.status())
        elif action == "down":
            laboratory.down()
        else:
            self.stdout.write(laboratory.status())
