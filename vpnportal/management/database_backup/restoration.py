"""The restore of a backup: all checks, then everything or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import uuid4

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from vpnportal.deployment import event_guard, summary_triggers
from vpnportal.deployment.rights_in_database import apply_rights
from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.encryption import CannotOpen, fingerprint_key
from vpnportal.management.database_backup import postgresql, sqlite
from vpnportal.management.database_backup.archive import BackupError, Manifest, read_archive
from vpnportal.management.database_backup.creation import (
    DUMPED,
    Report,
    count_rows,
    portal_tables,
)
from vpnportal.management.database_backup.ended_items import EndedItems, end_items
from vpnportal.management.database_backup.key_files import placed_keys, private_file
from vpnportal.management.database_copy.seals import listed, sealed_values
from vpnportal.management.database_copy.source import connected
from vpnportal.management.database_copy.tables import all_tables, first_filled
from vpnportal.models import Account, Concentrator, HeldTunnel, Revision, Tunnel
from vpnportal.schema import pending_migrations, unknown_migrations

TARGET = DEFAULT_DB_ALIAS
# More accounts or tunnels than a portal makes between a backup and a restore.
GAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore.

    `rows` counts those of the backup. `unreadable` are the names of sealed values that do not open,
    though others of their kind do: their rows were damaged before the backup. `migrated` is True
    if the backup was of an older schema.
    """

    manifest: Manifest
    rows: int
    unreadable: list[str]
    ended: EndedItems
    migrated: bool


def restore(stream: BinaryIO, keys: Path | None, report: Report) -> Restored:
    """Fill the empty database of this process from the backup in `stream`.

    With `keys`, also write the key files. `report` gets lines about the progress. Raises
    BackupError if a check fails; database and keys are then as before.
    """
    connection: Any = connections[TARGET]
    with TemporaryDirectory(prefix="vpnportal-restore-") as folder:
        dump = Path(folder) / "dump"
        private_file(dump).close()
        report("Checking the backup")
        manifest = read_archive(stream, dump)
        _check_manifest(manifest, connection)
        _check_target(connection)
        with placed_keys(keys):
            load = _into_postgresql if connection.vendor == "postgresql" else _into_sqlite
            with load(connection, dump, report) as alias:
                restored = _complete(manifest, alias, report)
    # What this connection and process remember is of the tables before.
    connection.close()
    ContentType.objects.clear_cache()
    return restored


def _check_manifest(manifest: Manifest, connection: Any) -> None:
    known = set(MigrationExecutor(connection).loader.disk_migrations)
    unknown = sorted(set(manifest.migrations.items()) - known)
    if unknown and not _ran_here(manifest):
        _refuse_newer(manifest, ".".join(unknown[0]))
    if manifest.vendor != connection.vendor:
        raise BackupError(
            f"The backup is of {manifest.vendor}, and this portal uses {connection.vendor}. "
            "Restore it to the kind of database that it comes from; `manage.py copy` moves an "
            "SQLite file to PostgreSQL."
        )
    if connection.vendor == "postgresql":
        theirs, ours = int(manifest.server.split(".")[0]), connection.pg_version // 10_000
        if theirs > ours:
            raise BackupError(
                f"The backup is of PostgreSQL {theirs}, and this server is {ours}: restore it to "
                f"PostgreSQL {theirs} or newer."
            )


def _ran_here(manifest: Manifest) -> bool:
    """Return True if this version made the backup: it worked with those tables (decision 051)."""
    return manifest.version == settings.VERSION


def _refuse_newer(manifest: Manifest, migration: str) -> None:
    raise BackupError(
        f"The backup is of version {manifest.version} of the portal, and this version "
        f"{settings.VERSION} does not know its migration {migration}. Install version "
        f"{manifest.version} or newer."
    )


def _check_target(connection: Any) -> None:
    if filled := first_filled(all_tables(), TARGET):
        table, count = filled
        raise BackupError(
            f"The database is not empty: {table.name} has {count:,} "
            f"{'row' if count == 1 else 'rows'}. Restore to a new database."
        )
    if connection.vendor == "postgresql":
        _check_alone(connection)


def _check_alone(connection: Any) -> None:
    if others := postgresql.other_processes(connection):
        raise BackupError(
            f"Other processes use the database: {', '.join(others)}. Stop those of the portal and "
            "of each gateway with `systemctl stop vpnportal.target`, and other programs."
        )


@contextmanager
def _into_postgresql(connection: Any, dump: Path, report: Report) -> Iterator[str]:
    """Load the dump in a transaction, which the block's success commits. Yield its alias."""
    with transaction.atomic(durable=True):
        report("Loading the dump")
        postgresql.load(connection, portal_tables(connection), dump)
        with connection.cursor() as cursor:
            # A migration cannot change a table whose rows still wait for a check.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield TARGET
        summary_triggers.install(connection)
        event_guard.install(connection)
        apply_rights(connection)
        _check_alone(connection)


@contextmanager
def _into_sqlite(connection: Any, dump: Path, report: Report) -> Iterator[str]:
    """Let the block complete the dump, then replace the database by it. Yield the dump's alias."""
    with connected(dump, DUMPED):
        yield DUMPED
    report("Replacing the database")
    sqlite.load(connection, dump)


def _complete(manifest: Manifest, alias: str, report: Report) -> Restored:
    """Check the loaded rows, bring them to the schema of this version, and end what was open."""
    connection = connections[alias]
    counted = count_rows(connection, portal_tables(connection))
    for table, count in manifest.rows.items():
        if counted.get(table) != count:
            raise BackupError(
                f"The dump has {counted.get(table, 0):,} rows of {table}, and its manifest says "
                f"{count:,}. Take another backup."
            )
    if (unknown := unknown_migrations(alias)) and not _ran_here(manifest):
        _refuse_newer(manifest, unknown[0])
    migrated = bool(pending_migrations(alias))
    if migrated:
        report(f"Migrating from version {manifest.version} to {settings.VERSION}")
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    for model in (Account, Tunnel):
        _leave_gap(connection, model._meta.db_table)
    _begin_epochs(manifest, alias)
    report("Decrypting the sealed values")
    unreadable = _check_keys(alias)
    ended = end_items(alias)
    return Restored(manifest, sum(manifest.rows.values()), unreadable, ended, migrated)


def _leave_gap(connection: Any, table: str) -> None:
    """Let the next row of a table get a number that no row had after the backup.

    Gateways have files of later tunnels, which come back with their numbers. Of a revision they
    know the creation time too.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT setval(name, nextval(name) + %s) "
                "FROM pg_get_serial_sequence(%s, 'id') AS name",
                [GAP, table],
            )
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s", [GAP, table])
        if not cursor.rowcount:
            cursor.execute("INSERT INTO sqlite_sequence VALUES (%s, %s)", [table, GAP])


def _begin_epochs(manifest: Manifest, alias: str) -> None:
    """Let each gateway be compared with the restored rows before its worker changes it.

    Tunnels that were held at the time of the backup are compared again.
    """
    HeldTunnel.objects.using(alias).all().delete()
    restored_from = datetime.fromisoformat(manifest.created_at)
    for pk in Concentrator.objects.using(alias).values_list("pk", flat=True):
        row = Concentrator.objects.using(alias).filter(pk=pk)
        row.update(epoch=uuid4(), restored_from=restored_from)


def _check_keys(alias: str) -> list[str]:
    """Return the names of sealed values that do not open.

    Raises BackupError if none of a kind opens, or if the key of fingerprints is another.
    """
    by_kind: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    try:
        for value in sealed_values(alias):
            by_kind[value.kind].append((value.name, value.opens))
        _check_fingerprints(alias)
    except ImproperlyConfigured as error:
        raise BackupError(f"The keys cannot be used: {error}") from None
    for values in by_kind.values():
        if not any(opens for _, opens in values):
            raise BackupError(
                f"{listed([name for name, _ in values])} of the backup cannot be decrypted: "
                f"{settings.SEAL_KEY_FILE} is of another portal. Bring the keys that were in use "
                "at the time of the backup."
            )
    return [name for values in by_kind.values() for name, opens in values if not opens]


def _check_fingerprints(alias: str) -> None:
    """Compute the digest of the newest revision that opens: another key changes all names."""
    for revision in Revision.objects.using(alias).exclude(digest="").order_by("-pk").iterator():
        try:
            digest = spec_digest(revision.spec(), fingerprint_key())
        except CannotOpen:
            continue
        if digest != revision.digest:
            raise BackupError(
                f"{settings.FINGERPRINT_KEY_FILE} is of another portal, and every tunnel would be "
                "negotiated again. Bring the keys that were in use at the time of the backup."
            )
        return
