"""The triggers that keep `TunnelSummary`, for PostgreSQL and SQLite.

A trigger runs the query for one tunnel after each change that the query could see. In PostgreSQL it
runs with the rights of the tables' owner, so a gateway that writes a status needs no right to the
summaries. It locks the summary first. The next statement then sees what every earlier holder of
that lock committed, so the last of several writers writes what is true
(docs/decisions/047-summaries-of-tunnels.md).

The triggers exist outside of migrations: a migration that rebuilds a table of SQLite would drop
them, and PostgreSQL changes no column that a trigger names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from vpnportal.deployment.summary_query import COLUMNS, TABLE, WATCHED, query, upsert
from vpnportal.deployment.triggers import TriggerSet
from vpnportal.services.state_labels import Outcome

TUNNEL, REVISION = "vpnportal_tunnel", "vpnportal_revision"
FUNCTION = "public.vpnportal_keep_summary()"
PREFIX = "summary_after_"
EVENTS = ("insert", "update", "delete")
# A revision before a live one decides nothing: to mark it as replaced takes no query of the state.
IS_BEFORE_LIVE = (
    f"OLD.number = NEW.number AND EXISTS (SELECT 1 FROM {REVISION} later"
    " WHERE later.tunnel_id = NEW.tunnel_id AND later.number > NEW.number"
    f" AND later.outcome = '{Outcome.LIVE}')"
)
FUNCTION_BODY = f"""
DECLARE
    changed bigint;
BEGIN
    IF TG_TABLE_NAME <> '{TUNNEL}' AND TG_OP = 'DELETE' THEN
        changed := OLD.tunnel_id;
    ELSIF TG_TABLE_NAME <> '{TUNNEL}' THEN
        changed := NEW.tunnel_id;
        IF TG_TABLE_NAME = '{REVISION}' AND TG_OP = 'UPDATE' THEN
            IF {IS_BEFORE_LIVE} THEN
                RETURN NULL;
            END IF;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM {TABLE} WHERE tunnel_id = OLD.id;
        RETURN NULL;
    ELSE
        changed := NEW.id;
    END IF;
    PERFORM FROM {TABLE} WHERE tunnel_id = changed FOR NO KEY UPDATE;
    {upsert("postgresql", "tunnel.id = changed")};
    RETURN NULL;
END
"""
# Debian's package of the server has pg_trgm, which the owner of a database may create. A new state
# is written beside the old one on the same page, if the page has room.
POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public",
    f"CREATE INDEX IF NOT EXISTS summaries_by_text ON {TABLE}"
    " USING gin (names public.gin_trgm_ops, peers public.gin_trgm_ops)",
    f"ALTER TABLE {TABLE} SET (fillfactor = 80)",
    f"CREATE OR REPLACE FUNCTION {FUNCTION} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
    f" SET search_path = pg_catalog, public, pg_temp AS $function${FUNCTION_BODY}$function$",
    f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC",
)
TRIGGERS = TriggerSet(FUNCTION, PREFIX)


def install(connection: Any) -> bool:
    """Bring triggers and summaries to those of this version. Return True after a change.

    Does nothing without the table, and if the triggers are right already. Otherwise it writes all
    summaries, and other writers wait meanwhile.
    """
    if TABLE not in connection.introspection.table_names() or is_installed(connection):
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        TRIGGERS.make(connection, cursor, list(_statements(connection.vendor)))
        _write_all(connection, cursor)
    return True


def drop_triggers(connection: Any) -> None:
    """Drop the triggers, so that a migration can change their tables. `install` makes them."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        TRIGGERS.drop(connection, cursor)


def write_all(connection: Any) -> None:
    """Write all summaries again, from the tunnels, revisions and releases."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _write_all(connection, cursor)


def differing(connection: Any) -> int:
    """Return the number of tunnels whose summary is missing or wrong. Reads all tunnels."""
    kept = f"SELECT {', '.join(COLUMNS)} FROM {TABLE}"
    computed = query(connection.vendor, "true")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT tunnel_id) FROM ("
            f"SELECT * FROM ({kept} EXCEPT {computed}) AS wrong"
            f" UNION ALL SELECT * FROM ({computed} EXCEPT {kept}) AS missing) AS different"
        )
        (count,) = cursor.fetchone()
    return int(count)


def is_installed(connection: Any) -> bool:
    """Return True if the database has the triggers of this version."""
    return TRIGGERS.is_installed(connection, list(_statements(connection.vendor)))


def _write_all(connection: Any, cursor: Any) -> None:
    cursor.execute(f"DELETE FROM {TABLE} WHERE tunnel_id NOT IN (SELECT id FROM {TUNNEL})")
    cursor.execute(upsert(connection.vendor, "true"))


def _statements(vendor: str) -> Iterator[str]:
    is_postgresql = vendor == "postgresql"
    yield from POSTGRESQL if is_postgresql else ()
    for table in WATCHED:
        for event in EVENTS:
            yield (
                _postgresql_trigger(table, event)
                if is_postgresql
                else _sqlite_trigger(table, event)
            )


def _name(table: str, event: str) -> str:
    return f"{PREFIX}{event}_of_{table.removeprefix('vpnportal_')}"


def _event(table: str, event: str) -> str:
    return event.upper() + (f" OF {', '.join(WATCHED[table])}" if event == "update" else "")


def _postgresql_trigger(table: str, event: str) -> str:
    when = ""
    if event == "update":
        old, new = (", ".join(f"{row}.{name}" for name in WATCHED[table]) for row in ("OLD", "NEW"))
        when = f" WHEN (ROW({old}) IS DISTINCT FROM ROW({new}))"
    return (
        f"CREATE TRIGGER {_name(table, event)} AFTER {_event(table, event)} ON {table}"
        f" FOR EACH ROW{when} EXECUTE FUNCTION {FUNCTION}"
    )


def _sqlite_trigger(table: str, event: str) -> str:
    row, key = "OLD" if event == "delete" else "NEW", "id" if table == TUNNEL else "tunnel_id"
    action, when = upsert("sqlite", f"tunnel.id = {row}.{key}"), ""
    if table == TUNNEL and event == "delete":
        action = f"DELETE FROM {TABLE} WHERE tunnel_id = OLD.id"
    if event == "update":
        changes = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in WATCHED[table])
        when = f" WHEN ({changes})"
        if table == REVISION:
            when += f" AND NOT ({IS_BEFORE_LIVE})"
    return (
        f"CREATE TRIGGER {_name(table, event)} AFTER {_event(table, event)} ON {table}"
        f" FOR EACH ROW{when} BEGIN {action}; END"
    )
