"""`manage.py restore FILE [--keys FILE]`: fill an empty database from a backup, or do nothing."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, transaction

from vpnportal.management.database_backup.archive import BackupError
from vpnportal.management.database_backup.restoration import Restored, restore
from vpnportal.management.database_copy.seals import listed
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Event, record_event


class Command(JsonCommand):
    """Command for a portal whose processes are stopped. Status 1 if a check failed."""

    help = "Fill the empty database of this portal from a backup. The portal must be stopped."
    json_help = "print one object, no progress"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the backup; - is the standard input")
        parser.add_argument("--keys", type=Path, help="also restore the key files of this file")

    def handle(self, *args: Any, **options: Any) -> None:
        file = options["file"]
        report = (lambda line: None) if self.is_json else self._report
        try:
            with _opened(file) as stream:
                restored = restore(stream, options["keys"], report)
        except OSError as error:
            raise CommandError(
                f"{error.filename or file} cannot be used: {error.strerror}. On an installed "
                "portal, `vpnportal restore - <FILE` hands over a file of root."
            ) from None
        except (BackupError, DatabaseError) as error:
            raise CommandError(" ".join(str(error).split())) from None
        with transaction.atomic():
            manifest = restored.manifest
            after = {"created_at": manifest.created_at, "version": manifest.version}
            record_event(Event.Action.PORTAL_RESTORED, after=after)
        self.answer(_values(restored), _text(restored))

    def _report(self, line: str) -> None:
        self.stderr.write(line, style_func=str)


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _values(restored: Restored) -> dict[str, Any]:
    return {
        "created_at": restored.manifest.created_at,
        "version": restored.manifest.version,
        "rows": restored.rows,
        "tables": restored.manifest.rows,
        "migrated": restored.migrated,
        "unreadable": restored.unreadable,
        "ended": asdict(restored.ended),
    }


def _text(restored: Restored) -> str:
    at = restored.manifest.created_at
    lines = [
        f"Restored {restored.rows:,} rows of the portal {restored.manifest.version} from {at}.",
        f"Ended {restored.ended}.",
        f"API keys revoked, members removed and passwords changed after {at} are valid as before: "
        "check them.",
        f"Gateways keep the tunnels that are newer than {at} until you choose: see the page "
        "Concentrators, or `vpnportal held list`.",
    ]
    if restored.migrated:
        lines.append("The rows have the schema of this version now.")
    if restored.unreadable:
        lines.append(f"{listed(restored.unreadable)} cannot be decrypted, and could not before.")
    return "\n".join(lines)
