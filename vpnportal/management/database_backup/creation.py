"""The creation of a backup: one state of the database, described and in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from vpnportal.management.database_backup import postgresql, sqlite
from vpnportal.management.database_backup.archive import (
    BackupError,
    Manifest,
    WrongUse,
    sha256_of,
    write_archive,
)
from vpnportal.management.database_backup.key_files import private_file, replacing, write_keys
from vpnportal.management.database_copy.source import connected
from vpnportal.management.database_copy.tables import all_tables
from vpnportal.schema import applied_migrations

Report: TypeAlias = Callable[[str], None]
# The alias of a dump that is an SQLite file.
DUMPED = "dumped"
MIGRATIONS = "django_migrations"
# Of the tables of the portal's own models.
PREFIX = "vpnportal_"


@dataclass(frozen=True, slots=True)
class _State:
    """The description of the state of the database in a dump."""

    server: str
    migrations: dict[str, str]
    rows: dict[str, int]


def back_up(file: Path, keys: Path | None, report: Report, *, replace: bool = False) -> Manifest:
    """Write the database to `file`, and the keys to the file `keys`. Return the manifest.

    `report` gets lines about the progress. Raises WrongUse for arguments that are refused, and
    BackupError if a file cannot be made. `file` is then as before.
    """
    _check_names(file, keys, replace)
    if keys:
        write_keys(keys)
        report(f"Wrote the keys to {keys}")
    connection: Any = connections[DEFAULT_DB_ALIAS]
    created_at = datetime.now(UTC).replace(microsecond=0)
    with (
        replacing(file) as out,
        TemporaryDirectory(prefix=".vpnportal-", dir=file.parent) as folder,
    ):
        dump = Path(folder) / "dump"
        private_file(dump).close()
        report(f"Reading the database ({connection.vendor})")
        make = _dump_postgresql if connection.vendor == "postgresql" else _dump_sqlite
        state = make(connection, dump)
        manifest = Manifest(
            version=settings.VERSION,
            created_at=created_at.isoformat(),
            vendor=connection.vendor,
            server=state.server,
            migrations=state.migrations,
            rows=state.rows,
            dump_bytes=dump.stat().st_size,
            dump_sha256=sha256_of(dump),
        )
        report(f"Writing {manifest.dump_bytes:,} bytes to {file}")
        write_archive(out, manifest, dump)
    return manifest


def portal_tables(connection: Any) -> list[str]:
    """Return the names of the portal's tables that a database has, none before `migrate`.

    After a way back to this version, it has those of a later one, too.
    """
    existing = connection.introspection.table_names()
    known = (*(table.name for table in all_tables()), MIGRATIONS)
    later = (name for name in existing if name.startswith(PREFIX) and name not in known)
    return [*(name for name in known if name in existing), *sorted(later)]


def count_rows(connection: Any, tables: Iterable[str]) -> dict[str, int]:
    """Return the number of rows of each table."""
    rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608
            (rows[table],) = cursor.fetchone()
    return rows


def _check_names(file: Path, keys: Path | None, replace: bool) -> None:
    for path in filter(None, (file, keys)):
        if not path.parent.is_dir():
            raise WrongUse(f"There is no folder {path.parent}: make it first.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise WrongUse(f"This process may not write in {path.parent}: name another folder.")
        if path.is_dir():
            raise WrongUse(f"{path} is a folder: name a file.")
        if os.path.lexists(path) and not replace:
            raise WrongUse(f"{path} exists: name another file, or replace it with --replace.")
    if keys and keys.parent.samefile(file.parent):
        raise WrongUse(
            f"{keys} is in the folder of {file}: a copy of this folder would open every secret. "
            "Name a folder that is kept elsewhere."
        )


def _dump_postgresql(connection: Any, dump: Path) -> _State:
    # The outermost block: a state can be named only before anything was read.
    with transaction.atomic(durable=True), dump.open("wb") as out:
        snapshot = postgresql.begin_snapshot(connection)
        tables = _migrated_tables(connection)
        state = _state(connection, tables, postgresql.server_version(connection))
        postgresql.dump(connection, tables, snapshot, out)
    return _State(state.server, state.migrations, {**state.rows, postgresql.SESSIONS: 0})


def _dump_sqlite(connection: Any, dump: Path) -> _State:
    _migrated_tables(connection)
    sqlite.dump(connection, dump)
    with connected(dump, DUMPED):
        copy: Any = connections[DUMPED]
        version = ".".join(map(str, copy.Database.sqlite_version_info))
        return _state(copy, portal_tables(copy), version)


def _migrated_tables(connection: Any) -> list[str]:
    tables = portal_tables(connection)
    if MIGRATIONS not in tables:
        raise BackupError("The database has no tables of the portal: run `manage.py migrate`.")
    return tables


def _state(connection: Any, tables: list[str], server: str) -> _State:
    # Names begin with a number, so the last one is the newest.
    newest = dict(sorted(applied_migrations(connection.alias)))
    return _State(server, newest, count_rows(connection, tables))
