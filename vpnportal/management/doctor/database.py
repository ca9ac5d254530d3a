"""Checks of the database: it answers, has the schema of this code, and its sealed values open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection

from vpnportal.deployment import summary_triggers
from vpnportal.encryption import key_ids
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.database_copy.seals import EXAMPLES, sealed_values
from vpnportal.management.doctor.checks import Machine, reason_of
from vpnportal.models import Concentrator
from vpnportal.schema import pending_migrations, unknown_migrations

MIN_POSTGRES = 150_000
# As in vpnportal-web.service and the Procfile: gunicorn's --workers.
WEB_PROCESSES = 2
# Worker and monitor of a gateway, and a command there such as `doctor`.
OF_A_GATEWAY = 3
# beat, the migrations or a backup, and a command there such as `doctor`.
OF_THE_PORTAL = 3
WARN_PERCENT = 80


def database() -> Iterator[Finding]:
    """Check that the database answers."""
    began = time.monotonic()
    try:
        version = _value("SELECT 1") and _version()
    except DatabaseError as error:
        yield unmet(
            "database",
            f"It does not answer: {reason_of(error)}",
            "Start PostgreSQL (systemctl start postgresql), or correct VPNPORTAL_DATABASE_URL. On "
            "a gateway, also look at pg_hba.conf and the route to the portal.",
        )
        return
    milliseconds = (time.monotonic() - began) * 1000
    yield met("database", f"{version} answers within {milliseconds:.0f} ms.")


def database_settings() -> Iterator[Finding]:
    """Check the version, the encoding and the just-in-time compiler of PostgreSQL."""
    name = "database_settings"
    if connection.vendor != "postgresql":
        yield met(name, "SQLite needs no settings. All processes of the portal have one user.")
        return
    number = int(_value("SHOW server_version_num"))
    if number < MIN_POSTGRES:
        yield unmet(
            f"{name}/version",
            f"The portal needs PostgreSQL 15 or newer, and this is {number // 10_000}.",
            "Upgrade the cluster with Debian's pg_upgradecluster.",
        )
    if (encoding := _value("SHOW server_encoding")) != "UTF8":
        yield unmet(
            f"{name}/encoding",
            f"The encoding of the database is {encoding}, which lacks characters of names.",
            "Make a database with ENCODING 'UTF8' TEMPLATE template0, and restore into it.",
        )
    if (jit := _value("SHOW jit")) != "off":
        yield at_risk(
            f"{name}/jit",
            f"jit is {jit}: compiling takes 37 ms of each list of tunnels.",
            "Remove -c jit from the options of VPNPORTAL_DATABASE_URL, and let no pooler drop "
            "options.",
        )
        return
    if number >= MIN_POSTGRES and encoding == "UTF8":
        yield met(name, f"PostgreSQL {number // 10_000}, encoding UTF8, jit off.")


def portal_schema() -> Iterator[Finding]:
    """Check the schema for a portal, which works with that of the next release, too."""
    return _schema(Machine.PORTAL)


def gateway_schema() -> Iterator[Finding]:
    """Check the schema for a gateway, which works with that of the next release, too."""
    return _schema(Machine.GATEWAY)


def _schema(machine: Machine) -> Iterator[Finding]:
    pending = pending_migrations(DEFAULT_DB_ALIAS)
    unknown = unknown_migrations(DEFAULT_DB_ALIAS)
    is_portal = machine is Machine.PORTAL
    if pending:
        yield unmet(
            "schema",
            f"The database is older than this release {settings.VERSION}: it lacks {pending[0]}"
            f"{_and_more(pending)}.",
            "Run `vpnportal migrate`."
            if is_portal
            else "Upgrade the portal first: install the packages of this release there.",
        )
    if unknown:
        # The packages of the later release refused the way back, if it does not work.
        yield at_risk(
            "schema",
            f"The database is newer than this release {settings.VERSION}: it has {unknown[0]}"
            f"{_and_more(unknown)}.",
            "Install the packages of the release that migrated the database, when its fault is "
            "mended. This release works meanwhile."
            if is_portal
            else "Install the packages of the release that migrated the database.",
        )
    if not pending and not unknown:
        yield met("schema", f"All migrations of release {settings.VERSION} are applied, no other.")


def seals() -> Iterator[Finding]:
    """Check that each sealed value opens, and count the values of each key."""
    ids = key_ids(settings.SEAL_KEY_FILE)
    counts, unreadable, lost = Counter[str](), list[str](), 0
    for value in sealed_values(DEFAULT_DB_ALIAS):
        if value.opens:
            counts[value.key_id] += 1
        else:
            unreadable.append(value.name)
            lost += value.key_id not in ids
    if unreadable:
        examples = ", ".join(unreadable[:EXAMPLES])
        yield unmet(
            "seals",
            f"{len(unreadable):,} of {len(unreadable) + counts.total():,} sealed values do not "
            f"open, such as {examples}. {lost:,} of them need a key that seal.key lacks.",
            "Put the missing line into seal.key, from the backup of the keys. A changed row needs "
            "the backup of the database, or a new preshared key and an apply.",
        )
    else:
        yield met("seals", f"All {counts.total():,} sealed values open.")
    yield from _lines_of_seal_key(ids, counts, bool(unreadable))


def _lines_of_seal_key(
    ids: tuple[str, ...], counts: Counter[str], some_unreadable: bool
) -> Iterator[Finding]:
    for line, key in enumerate(ids, start=1):
        name, count = f"seals/line {line}", counts[key]
        values = "1 value needs" if count == 1 else f"{count:,} values need"
        text = f"{values} the key {key}."
        if line == 1:
            text += " It seals new values."
        elif not count and not some_unreadable:
            text += " `vpnportal keys retire` removes it. Earlier backups still need it."
        yield met(name, text)


def summaries() -> Iterator[Finding]:
    """Check that the list of tunnels filters and counts by what the tunnels are."""
    name, advice = (
        "summaries",
        "`vpnportal summaries` makes the triggers and writes all rows again.",
    )
    if not summary_triggers.is_installed(connection):
        yield unmet(name, "Triggers that keep the list of tunnels current are missing.", advice)
    elif wrong := summary_triggers.differing(connection):
        verb = "tunnel is" if wrong == 1 else "tunnels are"
        yield unmet(name, f"{wrong:,} {verb} not listed with the right state or name.", advice)
    else:
        yield met(name, "The list of tunnels has the state of each.")


def connections() -> Iterator[Finding]:
    """Check that PostgreSQL accepts the connections that all processes may have at once."""
    if connection.vendor != "postgresql":
        yield met("connections", "SQLite does not limit connections.")
        return
    limit = int(_value("SHOW max_connections"))
    reserved = int(_value("SHOW superuser_reserved_connections"))
    used = int(_value("SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL"))
    web, gateways = WEB_PROCESSES * settings.WEB_THREADS, Concentrator.objects.count()
    needed, usable = web + OF_THE_PORTAL + gateways * OF_A_GATEWAY, limit - reserved
    text = (
        f"{usable} connections are usable, {used} are in use. The estimate of the most is {needed}:"
        f" {WEB_PROCESSES} web processes with {settings.WEB_THREADS} threads, {OF_THE_PORTAL} of "
        f"the portal's others, and {OF_A_GATEWAY} of each of {gateways} gateways."
    )
    advice = f"Set max_connections to {max(2 * needed, limit)} or more, and restart PostgreSQL."
    if needed > usable:
        yield unmet("connections", text, advice)
    elif max(needed, used) * 100 > usable * WARN_PERCENT:
        yield at_risk("connections", text, advice)
    else:
        yield met("connections", text)


def _version() -> str:
    if connection.vendor == "postgresql":
        return f"PostgreSQL {str(_value('SHOW server_version')).split()[0]}"
    return f"SQLite {_value('SELECT sqlite_version()')}"


def _value(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return row[0] if row else None


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
