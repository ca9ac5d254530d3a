"""The SQLite file to copy from, and the checks of both schemas."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from vpnportal.schema import applied_migrations, pending_migrations

SOURCE = "copied_from"


class CannotCopy(Exception):
    """A refusal to copy, as a sentence with the remedy."""


@contextmanager
def opened_source(file: Path) -> Iterator[str]:
    """Make a snapshot of an SQLite file the database `SOURCE`, and yield the snapshot's SHA-256.

    A portal that still runs may go on writing. Raises CannotCopy if this is no SQLite file.
    """
    if not file.is_file():
        raise CannotCopy(f"There is no file {file}.")
    with TemporaryDirectory(prefix="vpnportal-copy-") as folder:
        snapshot = Path(folder) / "snapshot.sqlite3"
        try:
            with (
                closing(
                    sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
                ) as database,
                closing(sqlite3.connect(snapshot)) as copy,
            ):
                database.backup(copy)
        except sqlite3.Error as error:
            raise CannotCopy(f"{file} cannot be read as an SQLite file: {error}.") from None
        digest = hashlib.sha256(snapshot.read_bytes()).hexdigest()
        with connected(snapshot, SOURCE):
            yield digest


@contextmanager
def connected(file: Path, alias: str) -> Iterator[None]:
    """Make an SQLite file the database `alias` of this process during the block."""
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    databases = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: engine})
    connections[alias] = DatabaseWrapper(databases[alias], alias)
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias]


def check_schemas(file: Path, target: str) -> None:
    """Raise CannotCopy unless both databases have the schema of this version of the portal."""
    if pending_migrations(target):
        raise CannotCopy(
            "The database of VPNPORTAL_DATABASE_URL does not have the schema of this version: run "
            "`manage.py migrate` first."
        )
    ours, theirs = applied_migrations(target), applied_migrations(SOURCE)
    if missing := sorted(ours - theirs):
        raise CannotCopy(
            f"{file} has an older schema: it lacks the migration {'.'.join(missing[0])}. Upgrade "
            "that installation to this version first: `manage.py migrate` without "
            "VPNPORTAL_DATABASE_URL."
        )
    if unknown := sorted(theirs - ours):
        raise CannotCopy(
            f"{file} has a newer schema: this version does not know the migration "
            f"{'.'.join(unknown[0])}. Copy with the version of the portal that wrote the file."
        )
