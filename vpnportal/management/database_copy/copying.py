"""Copy of all rows of an SQLite file to an empty PostgreSQL database, resumable and verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from vpnportal.deployment import event_guard
from vpnportal.management.database_copy.seals import listed, sealed_values
from vpnportal.management.database_copy.source import (
    SOURCE,
    CannotCopy,
    check_schemas,
    opened_source,
)
from vpnportal.management.database_copy.tables import (
    FILLED_BY_MIGRATE,
    Row,
    RowDigest,
    Table,
    all_tables,
    first_filled,
)
from vpnportal.models import TunnelSummary

TARGET = DEFAULT_DB_ALIAS
# The table exists while a copy is not complete, and has the digest of its source.
MARKER = "vpnportal_unfinished_copy"
MAKE_MARKER = "CREATE TABLE vpnportal_unfinished_copy (source text NOT NULL)"
WRITE_MARKER = "INSERT INTO vpnportal_unfinished_copy VALUES (%s)"
READ_MARKER = "SELECT source FROM vpnportal_unfinished_copy"
DROP_MARKER = "DROP TABLE vpnportal_unfinished_copy"
ROWS_PER_WRITE = 5000

Report: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a complete copy: the number of rows and of sealed values."""

    rows: int
    sealed: int


def copy_database(file: Path, report: Report, *, allow_unreadable: bool = False) -> Copied:
    """Copy an SQLite file to the empty PostgreSQL database of this process, and verify the copy.

    A copy that was interrupted goes on where it stopped. With `allow_unreadable`, sealed values
    that do not open with the keys are copied, too. `report` gets lines about the progress. Raises
    CannotCopy if the copy is refused or differs.
    """
    if connections[TARGET].vendor != "postgresql":
        raise CannotCopy("Set VPNPORTAL_DATABASE_URL to the PostgreSQL database to copy to.")
    with opened_source(file) as digest, _only_copy():
        check_schemas(file, TARGET)
        unreadable, _ = _count_seals(SOURCE)
        if unreadable and not allow_unreadable:
            raise CannotCopy(
                f"{listed(unreadable)} of {file} cannot be decrypted with the keys of this "
                "installation. Copy the installation's key files first (VPNPORTAL_KEYS), or allow "
                "it with --allow-unreadable."
            )
        # Triggers of the target fill the rest, while the rows that they follow are copied.
        tables = [table for table in all_tables() if table.model is not TunnelSummary]
        _begin(tables, file, digest)
        digests = {table.name: _copy_table(table, report) for table in tables}
        _set_sequences(tables)
        report("Comparing all rows and decrypting all sealed values")
        for table in tables:
            if _digest_of(table) != digests[table.name]:
                raise CannotCopy(
                    f"The rows of {table.name} differ from those of {file}. {_start_again()}"
                )
        if (verified := _count_seals(TARGET))[0] != unreadable:
            raise CannotCopy(f"{listed(verified[0])} cannot be decrypted. {_start_again()}")
        with connections[TARGET].cursor() as cursor:
            cursor.execute(DROP_MARKER)
            event_guard.install(connections[TARGET])
            cursor.execute("ANALYZE")
    return Copied(sum(digest.count for digest in digests.values()), verified[1])


@contextmanager
def _only_copy() -> Iterator[None]:
    """Hold a lock of the target until the block ends. Raises CannotCopy if another copy has it."""
    with connections[TARGET].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [MARKER])
        if cursor.fetchone() != (True,):
            raise CannotCopy("Another copy to this database is running.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [MARKER])


def _begin(tables: list[Table], file: Path, digest: str) -> None:
    """Mark the empty target as the copy of this source, or check that it has this mark.

    Removes the rows that `migrate` wrote: those of the source refer to each other by other ids.
    """
    connection = connections[TARGET]
    with transaction.atomic(), connection.cursor() as cursor:
        if MARKER in connection.introspection.table_names(cursor):
            cursor.execute(READ_MARKER)
            if cursor.fetchone() != (digest,):
                raise CannotCopy(
                    f"The database has a part of another copy, or {file} has changed since. "
                    f"{_start_again()}"
                )
            return
        if filled := first_filled(tables, TARGET):
            table, count = filled
            raise CannotCopy(
                f"The database of VPNPORTAL_DATABASE_URL is not empty: {table.name} has "
                f"{count:,} {'row' if count == 1 else 'rows'}. {_start_again()}"
            )
        for model in reversed(FILLED_BY_MIGRATE):
            model._base_manager.all().delete()
        # They refuse an anchor whose seal was removed.
        event_guard.drop_triggers(connection)
        cursor.execute(MAKE_MARKER)
        cursor.execute(WRITE_MARKER, [digest])


def _copy_table(table: Table, report: Report) -> RowDigest:
    """Copy the rows that the target lacks. Return the digest of the source."""
    digest, last_key = RowDigest(), table.last_key(TARGET)
    total = table.objects(SOURCE).count()
    key_at = [field.attname for field in table.fields].index(table.model._meta.pk.attname)

    def missing() -> Iterator[Row]:
        for row in table.rows(SOURCE):
            digest.add(row)
            # Rows without a number are copied in one transaction: all of them, or none.
            if last_key is None or (table.has_numbered_rows and row[key_at] > last_key):
                yield row

    rows = missing()
    size = ROWS_PER_WRITE if table.has_numbered_rows else max(total, 1)
    while chunk := list(islice(rows, size)):
        try:
            with transaction.atomic():
                table.write(chunk, TARGET)
        except DatabaseError as error:
            reason = " ".join(str(error).split())
            raise CannotCopy(f"PostgreSQL refuses a row of {table.name}: {reason}") from error
        report(f"{table.name}: {digest.count:,} of {total:,} rows")
    return digest


def _digest_of(table: Table) -> RowDigest:
    digest = RowDigest()
    for row in table.rows(TARGET):
        digest.add(row)
    return digest


def _set_sequences(tables: list[Table]) -> None:
    """Let the next row of each table get the number after the highest copied one."""
    connection = connections[TARGET]
    models = [table.model for table in tables if table.has_numbered_rows]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


def _count_seals(alias: str) -> tuple[list[str], int]:
    """Return the names of the sealed values that do not open, and the number of the others."""
    unreadable, opened = [], 0
    for value in sealed_values(alias):
        if value.opens:
            opened += 1
        else:
            unreadable.append(value.name)
    return unreadable, opened


def _start_again() -> str:
    return "Make an empty database, run `manage.py migrate` and copy again."
