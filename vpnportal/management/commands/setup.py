"""`manage.py setup`: all that a portal needs before it starts, in one process, again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """After `keys`, whose files are read when a process begins."""

    help = "Run migrate, digests, collectstatic and firsttime."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password-file", type=Path, required=True)
        parser.add_argument("--concentrators", nargs="+", default=["hou02-vpn01"])

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("digests")
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command(
            "firsttime",
            password_file=options["password_file"],
            concentrators=options["concentrators"],
        )
