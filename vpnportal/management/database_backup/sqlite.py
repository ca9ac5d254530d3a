"""The dump of an SQLite database: a copy of the file, made and put back by its backup API."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from vpnportal.management.database_backup.archive import BackupError
from vpnportal.management.database_backup.postgresql import SESSIONS


def dump(connection: Any, file: Path) -> None:
    """Copy the database to an empty file, without the rows of sessions.

    The portal may go on writing. VACUUM leaves no deleted row in the file.
    """
    connection.ensure_connection()
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute(f"DELETE FROM {SESSIONS}")  # noqa: S608
        copy.execute("VACUUM")


def load(connection: Any, file: Path) -> None:
    """Replace the database by that of a file, in one transaction of SQLite."""
    connection.ensure_connection()
    try:
        with closing(sqlite3.connect(file)) as source:
            source.backup(connection.connection)
    except sqlite3.Error as error:
        raise BackupError(f"The database cannot be replaced: {error}. Stop the portal.") from None
