"""`manage.py copy --from FILE`: move an installation from SQLite to PostgreSQL."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from vpnportal.management.database_copy.copying import copy_database
from vpnportal.management.database_copy.source import CannotCopy
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that copies all rows, and compares the copy with the original.

    The key files stay as they are: sealed values are copied as they are.
    """

    help = "Copy an SQLite database to the empty PostgreSQL database of VPNPORTAL_DATABASE_URL."
    json_help = "print one object, no progress"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", type=Path, required=True, dest="file", help="the SQLite file")
        parser.add_argument(
            "--allow-unreadable",
            action="store_true",
            help="also copy sealed values that the key files do not decrypt",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        report = (lambda line: None) if self.is_json else self._report
        try:
            copied = copy_database(
                options["file"], report, allow_unreadable=options["allow_unreadable"]
            )
        except CannotCopy as error:
            raise CommandError(str(error)) from None
        seconds = time.monotonic() - began
        self.answer(
            {
                "file": str(options["file"]),
                "rows": copied.rows,
                "sealed": copied.sealed,
                "seconds": round(seconds, 1),
            },
            f"Copied {copied.rows:,} rows in {seconds:.0f} s. All rows are equal to those of "
            f"{options['file']}, and {copied.sealed:,} sealed values were decrypted.",
        )

    def _report(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
