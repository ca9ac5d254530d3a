"""Sets of triggers that the portal makes itself, in PostgreSQL and SQLite.

A set is right if the database has each trigger of this version. PostgreSQL has the digest of the
statements as the comment of the function that all triggers of a set call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PRESENT = """
SELECT count(*) FROM pg_trigger
WHERE tgfoid = to_regprocedure(%s) AND tgenabled = 'O' AND NOT tgisinternal
"""
ALL_TRIGGERS = """
SELECT tgname, tgrelid::regclass::text FROM pg_trigger
WHERE tgfoid = to_regprocedure(%s) AND NOT tgisinternal
"""
OF_SQLITE = "FROM sqlite_master WHERE type = 'trigger' AND name GLOB %s"


@dataclass(frozen=True, slots=True)
class TriggerSet:
    """Triggers that call `function` in PostgreSQL, and whose names begin with `prefix` in SQLite.

    The statements of a database are those that make the set.
    """

    function: str
    prefix: str

    def is_installed(self, connection: Any, statements: Sequence[str]) -> bool:
        """Return True if the database has the triggers of these statements, and no others."""
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(PRESENT, [self.function])
                (present,) = cursor.fetchone()
                cursor.execute(
                    "SELECT obj_description(to_regprocedure(%s), 'pg_proc')", [self.function]
                )
                (digest,) = cursor.fetchone()
                triggers = sum(text.startswith("CREATE TRIGGER") for text in statements)
                return bool(present == triggers and digest == _digest(statements))
            cursor.execute(f"SELECT sql {OF_SQLITE}", [f"{self.prefix}*"])
            return {text for (text,) in cursor.fetchall()} == set(statements)

    def make(self, connection: Any, cursor: Any, statements: Sequence[str]) -> None:
        """Replace all triggers of the set, also those of a later version that was here."""
        self.drop(connection, cursor)
        for statement in statements:
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute(f"COMMENT ON FUNCTION {self.function} IS '{_digest(statements)}'")

    def drop(self, connection: Any, cursor: Any) -> None:
        """Drop all triggers of the set."""
        if connection.vendor == "postgresql":
            cursor.execute(ALL_TRIGGERS, [self.function])
            on = [f'"{name}" ON {table}' for name, table in cursor.fetchall()]
        else:
            cursor.execute(f"SELECT name {OF_SQLITE}", [f"{self.prefix}*"])
            on = [f'"{name}"' for (name,) in cursor.fetchall()]
        for trigger in on:
            cursor.execute(f"DROP TRIGGER {trigger}")


def _digest(statements: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()
