"""`manage.py backup FILE [--keys FILE]`: write the database, and apart from it the keys."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from vpnportal.management.database_backup.archive import BackupError, WrongUse
from vpnportal.management.database_backup.creation import back_up
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that may run beside the portal. Status 1 if it failed, 2 for refused arguments."""

    help = "Write the database to one file. Sealed values in it need the keys of this portal."
    json_help = "print one object, no progress"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the new file, in a folder that exists")
        parser.add_argument(
            "--keys", type=Path, help="write the key files to this file, in another folder"
        )
        parser.add_argument("--replace", action="store_true", help="replace existing files")

    def handle(self, *args: Any, **options: Any) -> None:
        file, keys = options["file"].absolute(), options["keys"] and options["keys"].absolute()
        report = (lambda line: None) if self.is_json else self._report
        try:
            manifest = back_up(file, keys, report, replace=options["replace"])
        except (BackupError, DatabaseError) as error:
            status = 2 if isinstance(error, WrongUse) else 1
            raise CommandError(" ".join(str(error).split()), returncode=status) from None
        except OSError as error:
            text = f"{error.filename} cannot be used: {error.strerror}. Name another folder."
            raise CommandError(text) from None
        rows = sum(manifest.rows.values())
        shown = {"file": str(file), "keys": str(keys) if keys else None, "rows": rows}
        self.answer(
            {**asdict(manifest), **shown, "tables": manifest.rows},
            f"Backed up {rows:,} rows to {file} at {manifest.created_at}. Its sealed values open "
            "with the keys of this portal only: keep them in another place.",
        )

    def _report(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
