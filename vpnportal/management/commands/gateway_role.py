"""`manage.py gateway_role NAME`: print the SQL of a gateway's role in PostgreSQL."""

from __future__ import annotations

import re
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.deployment.gateway_role import add_sql, remove_sql

MIN_PASSWORD = 32
# The names that a Concentrator may have.
NAME = re.compile(r"[a-z0-9-]{1,40}")


class Command(BaseCommand):
    """Command that changes nothing: psql, run by an administrator of the database, takes its SQL.

    It reads the password from its standard input and prints only a verifier of it.
    """

    help = (
        "Print the SQL that makes the role of a concentrator's gateway, for psql as an "
        "administrator of the database. The password is the standard input."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the concentrator's name, such as hou02-vpn01")
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--peer", action="store_true", help="the role has no password")
        way.add_argument("--remove", action="store_true", help="remove the role")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if not NAME.fullmatch(name):
            raise CommandError(
                f"{name!r} is not a concentrator's name: up to 40 lower-case letters, digits and -."
            )
        if options["remove"]:
            sql = remove_sql(name)
        else:
            sql = add_sql(name, None if options["peer"] else _password())
        self.stdout.write(sql, ending="")


def _password() -> str:
    password = sys.stdin.read().strip()
    if len(password) < MIN_PASSWORD or not password.isascii() or not password.isalnum():
        raise CommandError(
            f"The password needs {MIN_PASSWORD} or more letters and digits, as from "
            "`openssl rand -hex 24`."
        )
    return password
