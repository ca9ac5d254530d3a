"""Grants and policies in PostgreSQL, brought to the state of `gateway_rights.RIGHTS`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import OperationalError, transaction

from vpnportal.deployment import gateway_functions
from vpnportal.deployment.gateway_functions import SCHEMA
from vpnportal.deployment.gateway_rights import EARLIER_COLUMNS, NOTHING, RIGHTS, Rights
from vpnportal.deployment.gateway_role import GROUP

log = logging.getLogger(__name__)

# Policies lock their tables, and workers, which go on meanwhile, lock tables in other orders.
TRIES, LOCK_MILLISECONDS = 10, 3000
# The comment of this function says which rights the database has.
MARKER = f"{SCHEMA}.vpnportal_gateway()"
# Tables without a model that a gateway reads as a whole: a command checks its version.
READABLE = ("django_migrations",)
POLICY = "gateways"
# Everything about rights that a person or a migration may have changed.
STATE = """
SELECT md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) FROM (
    SELECT format('%%s %%s %%s', relname, relrowsecurity, relacl) AS line
        FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'S', 'v')
    UNION ALL SELECT format('%%s %%s %%s', attrelid::regclass, attname, attacl)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = %(schema)s::regnamespace AND attacl IS NOT NULL
    UNION ALL SELECT format('%%s %%s %%s %%s %%s %%s', polrelid::regclass, polname, polcmd,
        polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy
    UNION ALL SELECT format('%%s %%s %%s %%s %%s', proname, prosecdef, proconfig, proacl, prosrc)
        FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace
) AS lines
"""
COLUMNS = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""


def apply_rights(connection: Any) -> bool:
    """Give the gateways of a database exactly the rights of RIGHTS. Return True after a change.

    Does nothing in SQLite, without the role GROUP, and if the rights are right already. With an
    older schema, gateways get no rights at all. Raises OperationalError if other transactions hold
    the tables for too long.
    """
    if connection.vendor != "postgresql":
        return False
    for tries_left in reversed(range(TRIES)):
        try:
            return _apply_once(connection)
        except OperationalError as error:
            if connection.in_atomic_block or not tries_left:
                raise
            log.warning("The rights of the gateways are tried again: %s", error)
    raise AssertionError("The last try returns or raises.")


def _apply_once(connection: Any) -> bool:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if not _value(cursor, "SELECT count(*) FROM pg_roles WHERE rolname = %s", GROUP):
            return False
        wanted = list(_all_statements(_is_complete(cursor)))
        digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
        if _marker(cursor) == f"{digest} {_state(cursor)}":
            return False
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
        for statement in wanted:
            cursor.execute(statement)
        cursor.execute(f"COMMENT ON FUNCTION {MARKER} IS '{digest} {_state(cursor)}'")
    return True


def _is_complete(cursor: Any) -> bool:
    """Return True if the database has all columns of RIGHTS: it is not that of an older version."""
    cursor.execute(COLUMNS, [SCHEMA])
    present = set(cursor.fetchall())
    return all(
        (_table(rights), column) in present
        for rights in RIGHTS
        for column in (*rights.select, *rights.insert, *rights.update)
    )


def _all_statements(is_complete: bool) -> Iterator[str]:
    yield f'REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM "{GROUP}"'
    yield f'REVOKE ALL ON ALL SEQUENCES IN SCHEMA {SCHEMA} FROM "{GROUP}"'
    yield from gateway_functions.statements(GROUP)
    if is_complete:
        for table in READABLE:
            yield f'GRANT SELECT ON {SCHEMA}.{table} TO "{GROUP}"'
        for rights in RIGHTS:
            yield from _grants(rights)
            yield from _policies(rights)


def _table(rights: Rights) -> str:
    return f"vpnportal_{rights.table}"


def _grants(rights: Rights) -> Iterator[str]:
    table = f"{SCHEMA}.{_table(rights)}"
    update = ("id",) if rights.lock else rights.update
    for command, columns in (
        ("SELECT", (*rights.select, *EARLIER_COLUMNS.get(rights.table, ()))),
        ("INSERT", rights.insert),
        ("UPDATE", update),
    ):
        if columns:
            yield f'GRANT {command} ({_listed(columns)}) ON {table} TO "{GROUP}"'
    if rights.delete_rows:
        yield f'GRANT DELETE ON {table} TO "{GROUP}"'


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _policies(rights: Rights) -> Iterator[str]:
    """Yield the policies of a table. The owner of the tables, the portal, is not held to them."""
    yield f"ALTER TABLE {SCHEMA}.{_table(rights)} ENABLE ROW LEVEL SECURITY"
    updated = NOTHING if rights.lock else rights.updated
    yield from _policy(rights, "select", f"USING ({rights.rows})")
    yield from _policy(
        rights,
        "update",
        f"USING ({rights.update_rows or rights.rows})" + f" WITH CHECK ({updated})" * bool(updated),
        bool(rights.update or rights.lock),
    )
    check = rights.insert_rows or rights.rows
    yield from _policy(rights, "insert", f"WITH CHECK ({check})", bool(rights.insert))
    using = f"USING ({rights.delete_rows})"
    yield from _policy(rights, "delete", using, bool(rights.delete_rows))


def _policy(rights: Rights, command: str, condition: str, wanted: bool = True) -> Iterator[str]:
    name, table = f"{POLICY}_{command}", f"{SCHEMA}.{_table(rights)}"
    yield f"DROP POLICY IF EXISTS {name} ON {table}"
    if wanted:
        yield f'CREATE POLICY {name} ON {table} FOR {command} TO "{GROUP}" {condition}'


def _marker(cursor: Any) -> str | None:
    query = "SELECT obj_description(to_regprocedure(%s), 'pg_proc')"
    text: str | None = _value(cursor, query, MARKER)
    return text


def _state(cursor: Any) -> str:
    cursor.execute(STATE, {"schema": SCHEMA})
    (state,) = cursor.fetchone()
    return str(state)


def _value(cursor: Any, query: str, *values: object) -> Any:
    cursor.execute(query, values)
    (value,) = cursor.fetchone()
    return value
