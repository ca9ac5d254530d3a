"""The dump of a PostgreSQL database: pg_dump writes it, and a transaction of ours reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from django.db import DatabaseError
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from vpnportal.management.database_backup.archive import BackupError

PROGRAMS = Path("/usr/lib/postgresql")
# Cookies of signed-in users are in this table in plain text. Its rows are in no backup.
SESSIONS = "django_session"
# pg_restore sets its own session up for the script. Ours has its settings, and an older server does
# not know all of them. The words with a backslash are for psql alone.
PREAMBLE = re.compile(rb"SET \w+ = |SELECT pg_catalog\.set_config\('search_path'|\\(un)?restrict ")
COPY = re.compile(rb"COPY (\S+) \(.+\) FROM stdin;\n")
# Rights of gateways, and the triggers of summaries with their index.
MADE_BY_CODE = re.compile(
    rb"\d+; \d+ \d+ (POLICY |ROW SECURITY |TRIGGER |INDEX \S+ summaries_by_text )"
)
END_OF_COPY = b"\\.\n"


def server_version(connection: Any) -> str:
    """Return the version of the server, such as 15.18."""
    major, minor = divmod(connection.pg_version, 10_000)
    return f"{major}.{minor}"


def begin_snapshot(connection: Any) -> str:
    """Let the transaction, which has just begun, read one state, and return the state's name."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # The connection waits for pg_dump.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
    return str(snapshot)


def dump(connection: Any, tables: Iterable[str], snapshot: str, out: IO[bytes]) -> None:
    """Write the tables, without the rows of sessions, in pg_dump's custom format."""
    words, environment = _connection_words(connection)
    done = subprocess.run(
        [
            *(program("pg_dump", connection.pg_version // 10_000), "--format=custom"),
            *("--no-owner", "--no-privileges", "--no-password", f"--snapshot={snapshot}"),
            *(f"--table={table}" for table in tables),
            *(f"--exclude-table-data={SESSIONS}", *words),
        ],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise BackupError(f"pg_dump failed: {_sentence(done.stderr)}")


def load(connection: Any, tables: Sequence[str], dump_file: Path) -> None:
    """Replace the portal's tables by those of a dump. The caller has begun the transaction.

    pg_restore turns the dump into a script, and this connection runs it. So the caller can check
    the rows, and take everything back. Raises BackupError if the script cannot be made or run.
    """
    restore = program("pg_restore", connection.pg_version // 10_000)
    quoted = ", ".join(map(connection.ops.quote_name, tables))
    with dump_file.open("rb") as archive, TemporaryFile() as errors, connection.cursor() as cursor:
        tables_only = f"--use-list={_table_list(restore, dump_file)}"
        words = [restore, "--no-owner", "--no-privileges", tables_only, "--file=-"]
        with subprocess.Popen(
            words, stdin=archive, stdout=subprocess.PIPE, stderr=errors
        ) as script:
            try:
                if tables:
                    cursor.execute(f"DROP TABLE {quoted}")
                _run(cursor, cast(IO[bytes], script.stdout))
            except DatabaseError as error:
                script.kill()
                raise BackupError(
                    f"PostgreSQL refuses the dump: {_sentence(str(error))}"
                ) from error
            except BaseException:
                script.kill()
                raise
        errors.seek(0)
        if script.returncode:
            raise BackupError(f"pg_restore failed: {_sentence(errors.read())}")


def _table_list(restore: str, dump_file: Path) -> Path:
    """Write the list of what a dump has without rights and triggers, and return its file.

    A new database has no functions for them yet, and the caller gives it those of this version.
    """
    listed = subprocess.run([restore, "--list", dump_file], capture_output=True, check=False)
    if listed.returncode:
        raise BackupError(f"pg_restore failed: {_sentence(listed.stderr)}")
    file = dump_file.with_suffix(".list")
    lines = listed.stdout.splitlines(keepends=True)
    file.write_bytes(b"".join(line for line in lines if not MADE_BY_CODE.match(line)))
    return file


def other_processes(connection: Any) -> list[str]:
    """Return the role of each other process that is connected to the database, and its name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT usename, application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND usename IS NOT NULL "
            # A user who is no superuser does not see the type of other users' processes.
            "AND coalesce(backend_type, 'client backend') = 'client backend'"
        )
        rows = cursor.fetchall()
    return sorted(f"{role} ({name})" if name else role for role, name in rows)


def program(name: str, server: int) -> str:
    """Return the path of a program of Debian's newest PostgreSQL, or of the PATH.

    /usr/bin/pg_dump of Debian takes the version of a local cluster, which may be older than that of
    the portal's server. Raises BackupError unless the program's version is `server` or newer.
    """
    installed = {
        int(path.parts[-3]): path
        for path in PROGRAMS.glob(f"*/bin/{name}")
        if path.parts[-3].isdecimal()
    }
    path = installed[max(installed)] if installed else shutil.which(name)
    package = f"Install Debian's package postgresql-client-{server}."
    if path is None:
        raise BackupError(f"There is no {name}. {package}")
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\(PostgreSQL\) (\d+)", shown)
    if version is None or int(version[1]) < server:
        found = f"of version {version[1]}" if version else "of an unknown version"
        raise BackupError(f"{name} is {found}, and the server of version {server}. {package}")
    return str(path)


def _run(cursor: Any, script: IO[bytes]) -> None:
    """Run a script of pg_restore: statements, and between them the rows of tables."""
    statements: list[bytes] = []

    def run_statements() -> None:
        # Simple protocol: a text without parameters may have many statements.
        if any(line.strip() and not line.startswith(b"--") for line in statements):
            cursor.execute(b"".join(statements).decode())
        statements.clear()

    for line in script:
        if COPY.fullmatch(line):
            run_statements()
            with cursor.copy(line.decode()) as copy:
                for row in _rows_of_copy(script):
                    copy.write(row)
        elif not PREAMBLE.match(line):
            statements.append(line)
    run_statements()


def _rows_of_copy(script: IO[bytes]) -> Iterator[bytes]:
    for line in script:
        if line == END_OF_COPY:
            return
        yield line


def _connection_words(connection: Any) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment by which a program connects as this process does.

    The password is in the environment only, which other users cannot read.
    """
    # The settings alone: the libpq of psycopg may have defaults that the program does not know.
    keywords = {option.keyword.decode() for option in Conninfo.get_defaults()}
    settings = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name in keywords and name not in ("client_encoding", "application_name")
    }
    password = settings.pop("password", None)
    if "sslpassword" in settings:
        raise BackupError(
            "VPNPORTAL_DATABASE_URL has the parameter sslpassword, which pg_dump takes as an "
            "argument only: every user could read it. Use a key without a password."
        )
    words = [f"--dbname={make_conninfo(**settings, application_name='vpnportal backup')}"]
    return words, {"PGPASSWORD": password} if password else {}


def _sentence(text: str | bytes) -> str:
    """Return the beginning of an error as one line."""
    decoded = text.decode(errors="replace") if isinstance(text, bytes) else text
    return " ".join(decoded.split())[:500] or "it gave no reason."
