"""Triggers that refuse to change or delete events, seals and anchors, for PostgreSQL and SQLite.

Only old rows are removed, and as a whole prefix of the chain: an anchor of the last removed seal
comes first. It must be the seal's, older than MIN_DAYS, and newer than each anchor before it.
docs/decisions/052-record-of-events.md says which attackers this does not stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from vpnportal.deployment.triggers import TriggerSet

EVENT, SEAL, ANCHOR = "vpnportal_event", "vpnportal_eventseal", "vpnportal_eventanchor"
TABLES = (EVENT, SEAL, ANCHOR)
FUNCTION = "public.vpnportal_keep_events()"
PREFIX = "keep_events_"
# No setting and no process can remove a younger event.
MIN_DAYS = 30
REFUSAL = "events are append-only"
REMOVED = f"(SELECT COALESCE(max(number), 0) FROM {ANCHOR})"
# By table: the rows that may be deleted after their anchor was written.
DELETABLE = {
    EVENT: f"EXISTS (SELECT 1 FROM {SEAL} seal WHERE seal.event_id = OLD.id"
    f" AND seal.number <= {REMOVED})",
    SEAL: f"OLD.number <= {REMOVED}",
    ANCHOR: "false",
}
# The condition of a new anchor.
ANCHORED = (
    f"NEW.number > {REMOVED} AND EXISTS (SELECT 1 FROM {SEAL} seal WHERE seal.number = NEW.number"
    " AND seal.digest = NEW.digest AND seal.at < {before})"
)
BEFORE = {
    "postgresql": f"now() - interval '{MIN_DAYS} days'",
    "sqlite": f"datetime('now', '-{MIN_DAYS} days')",
}
DELETE_BODY = "\n".join(
    f"    ELSIF TG_OP = 'DELETE' AND TG_TABLE_NAME = '{table}' THEN\n"
    f"        IF {condition} THEN RETURN OLD; END IF;"
    for table, condition in DELETABLE.items()
)
BODY = f"""
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF {ANCHORED.format(before=BEFORE["postgresql"])} THEN RETURN NEW; END IF;
{DELETE_BODY}
    END IF;
    RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege';
END
"""
TRIGGERS = TriggerSet(FUNCTION, PREFIX)


def install(connection: Any) -> bool:
    """Bring the triggers to those of this version. Return True after a change.

    Does nothing without the tables.
    """
    if EVENT not in connection.introspection.table_names() or is_installed(connection):
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        TRIGGERS.make(connection, cursor, list(_statements(connection.vendor)))
    return True


def is_installed(connection: Any) -> bool:
    """Return True if the database has the triggers of this version, and they are enabled."""
    return TRIGGERS.is_installed(connection, list(_statements(connection.vendor)))


def drop_triggers(connection: Any) -> None:
    """Drop the triggers. `install` makes them again."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        TRIGGERS.drop(connection, cursor)


def _statements(vendor: str) -> Iterator[str]:
    if vendor == "postgresql":
        yield (
            f"CREATE OR REPLACE FUNCTION {FUNCTION} RETURNS trigger LANGUAGE plpgsql"
            " SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
            f" AS $function${BODY}$function$"
        )
        yield f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC"
        for table in TABLES:
            events = "INSERT OR UPDATE OR DELETE" if table == ANCHOR else "UPDATE OR DELETE"
            for name, event, each in (
                ("rows", events, "ROW"),
                ("truncate", "TRUNCATE", "STATEMENT"),
            ):
                yield (
                    f"CREATE TRIGGER {PREFIX}{name} BEFORE {event} ON {table}"
                    f" FOR EACH {each} EXECUTE FUNCTION {FUNCTION}"
                )
        return
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for table in TABLES:
        yield f"CREATE TRIGGER {PREFIX}update_{table} BEFORE UPDATE ON {table} {refuse}"
        yield (
            f"CREATE TRIGGER {PREFIX}delete_{table} BEFORE DELETE ON {table}"
            f" WHEN NOT ({DELETABLE[table]}) {refuse}"
        )
    condition = ANCHORED.format(before=BEFORE["sqlite"])
    yield (
        f"CREATE TRIGGER {PREFIX}insert_{ANCHOR} BEFORE INSERT ON {ANCHOR}"
        f" WHEN NOT ({condition}) {refuse}"
    )
