"""The database of a running portal, read and changed without the code of the portal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

DATABASE, ROLE = "vpnportal", "vpnportal"


def rows(state: Path, query: str, *values: object) -> list[dict[str, Any]]:
    """Return the rows of a query; a value has the sign ? there. Addresses are text."""
    with _connection(state) as (database, sign):
        found = database.execute(query.replace("?", sign), values).fetchall()
        return [{name: _plain(row[name]) for name in row.keys()} for row in found]  # noqa: SIM118


def write(state: Path, statement: str, *values: object) -> None:
    """Change rows."""
    with _connection(state) as (database, sign):
        database.execute(statement.replace("?", sign), values)


@contextmanager
def _connection(state: Path) -> Iterator[tuple[Any, str]]:
    """Yield a connection, and its sign for values. The end of the block commits."""
    server = state / "postgresql" / "run"
    if server.exists():
        names = {"host": str(server), "dbname": DATABASE, "user": ROLE}
        with psycopg.connect(**names, row_factory=dict_row) as database:
            yield database, "%s"
        return
    with closing(sqlite3.connect(state / "db" / "portal.sqlite3", timeout=30)) as file, file:
        file.row_factory = sqlite3.Row
        yield file, "?"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, IPv4Address) else value
