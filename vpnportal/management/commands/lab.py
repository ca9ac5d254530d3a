"""`manage.py lab`: make, show and remove the laboratory, and run commands on its hosts."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lab.laboratory import Laboratory
from lab.namespaces import LaboratoryError
from lab.topology import ALL_NAMES, CONCENTRATORS


class Command(BaseCommand):
    help = "The laboratory: a server, one or two concentrators, a customer's device and computer."
    # The command works before there is a database or a key.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        up = actions.add_parser("up", help="remove an existing laboratory and make a new one")
        numbers = range(1, len(CONCENTRATORS) + 1)
        up.add_argument("--concentrators", type=int, choices=numbers, default=1)
        up.add_argument("--router", action="store_true", help="make a router that learns by BGP")
        actions.add_parser("down", help="remove the laboratory")
        actions.add_parser("status", help="show addresses, sockets, logs and the customer's key")
        on = actions.add_parser("exec", help="run a command on a host")
        on.add_argument("host", choices=ALL_NAMES)
        on.add_argument("argv", nargs=argparse.REMAINDER, metavar="command")

    def handle(self, *args: Any, **options: Any) -> None:
        laboratory = Laboratory(
            settings.LAB_PREFIX,
            settings.LAB_FOLDER,
            options.get("concentrators", 1),
            options.get("router", False),
        )
        try:
            if options["action"] == "exec":
                self.exec(laboratory, options["host"], options["argv"])
            else:
                self.act(laboratory, options["action"])
        except LaboratoryError as error:
            raise CommandError(str(error)) from error

    def exec(self, laboratory: Laboratory, host: str, argv: list[str]) -> None:
        if not argv:
            raise CommandError("exec needs a host and a command.")
        laboratory.exec(host, argv)

    def act(self, laboratory: Laboratory, action: str) -> None:
        if action == "up":
            laboratory.up()
        elif action == "down":
            laboratory.down()
            return
        self.stdout.write(laboratory.status())
