"""The chain of digests over the events, and the one sealer that makes it longer.

A seal is the SHA-256 (FIPS 180-4) of a canonical text: JSON in UTF-8 with sorted keys and without
spaces, as in RFC 8785. docs/audit.md has the text of an event and of a seal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from vpnportal.models import Event, EventAnchor, EventSeal

# The digest before the first seal.
NOTHING = "0" * 64
BATCH_ROWS = 5_000
# Ids below the newest sealed one among which a pass looks for rows that were committed later.
LATE_IDS = 10_000
# Of the advisory lock that one sealer has in PostgreSQL.
LOCK_KEY = 0x65766E74
COLUMNS = tuple(sorted(field.attname for field in Event._meta.concrete_fields))
_to_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Head:
    """The number and the digest of a seal; 0 and NOTHING before the first one."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


def current_head() -> Head:
    """Return the newest seal, or the newest anchor if all sealed events were removed."""
    seal = EventSeal.objects.order_by("-number").first()
    anchor = seal or EventAnchor.objects.order_by("-number").first()
    return Head(anchor.number, anchor.digest) if anchor else Head(0, NOTHING)


def seal_events(*, look_everywhere: bool = False) -> Head | None:
    """Seal the events that are visible and have no seal. Return the new head, or None.

    A row that is committed after one with a higher id is sealed after it. `look_everywhere` also
    finds rows that were committed later than LATE_IDS others. Does nothing while another process
    seals.
    """
    newest = None
    while True:
        with transaction.atomic():
            sealed = _seal_batch(look_everywhere)
        if sealed is None:
            return newest
        newest = sealed


def _seal_batch(look_everywhere: bool) -> Head | None:
    connection = connections[DEFAULT_DB_ALIAS]
    if not _is_only_sealer(connection):
        return None
    head = current_head()
    rows = _unsealed(connection, head, look_everywhere)
    now = timezone.now()
    seals = []
    for row in rows:
        number = head.number + 1
        head = Head(number, digest_of(row, number, moment(now), head.digest))
        event_id = row[COLUMNS.index("id")]
        seals.append(EventSeal(number=number, event_id=event_id, at=now, digest=head.digest))
    EventSeal.objects.bulk_create(seals)
    return head if seals else None


def _is_only_sealer(connection: Any) -> bool:
    """Lock the chain until the transaction ends. SQLite has one writer at a time."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK_KEY])
        (is_locked,) = cursor.fetchone()
    return bool(is_locked)


def _unsealed(connection: Any, head: Head, look_everywhere: bool) -> list[tuple[Any, ...]]:
    newest = EventSeal.objects.filter(number=head.number).values_list("event_id", flat=True).first()
    oldest = 0 if look_everywhere or newest is None else newest - LATE_IDS
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {selected(connection.vendor)} FROM vpnportal_event event"  # noqa: S608
            " WHERE event.id > %s AND NOT EXISTS (SELECT 1 FROM vpnportal_eventseal seal"
            " WHERE seal.event_id = event.id) ORDER BY event.id LIMIT %s",
            [oldest, BATCH_ROWS],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def selected(vendor: str) -> str:
    """Return the columns of `vpnportal_event event` as `canonical` takes them, in SQL."""
    return ", ".join(_expression(name, vendor) for name in COLUMNS)


def time_expression(column: str, vendor: str) -> str:
    """Return the SQL of a time as 2026-12-01T16:40:07.123456Z."""
    if vendor == "postgresql":
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    fraction = f"CASE WHEN instr({column}, '.') THEN 'Z' ELSE '.000000Z' END"
    return f"replace({column}, ' ', 'T') || {fraction}"


def _expression(name: str, vendor: str) -> str:
    column = f'event."{name}"'
    if name == "at":
        return time_expression(column, vendor)
    is_json = name in ("before", "after") and vendor == "postgresql"
    return f"{column}::text" if is_json else column


def moment(at: datetime) -> str:
    """Return a time as 2026-12-01T16:40:07.123456Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def canonical(row: tuple[Any, ...]) -> str:
    """Return the canonical text of an event, whose values are in the order of COLUMNS."""
    (
        account_id, account_name, action, actor_id, actor_kind, actor_name, after, api_key_name,
        at, before, client_address, concentrator_id, concentrator_name, count, pk, reason,
        request_id, result, subject, tunnel_id, tunnel_name,
    ) = row  # fmt: skip
    return (
        f'{{"account_id":{_number(account_id)},"account_name":{quoted(account_name)},'
        f'"action":{quoted(action)},"actor_id":{_number(actor_id)},'
        f'"actor_kind":{quoted(actor_kind)},"actor_name":{quoted(actor_name)},'
        f'"after":{_object(after)},"api_key_name":{quoted(api_key_name)},"at":"{at}",'
        f'"before":{_object(before)},"client_address":{quoted(client_address)},'
        f'"concentrator_id":{_number(concentrator_id)},'
        f'"concentrator_name":{quoted(concentrator_name)},"count":{count},"id":{pk},'
        f'"reason":{quoted(reason)},"request_id":{quoted(request_id)},"result":{quoted(result)},'
        f'"subject":{quoted(subject)},"tunnel_id":{_number(tunnel_id)},'
        f'"tunnel_name":{quoted(tunnel_name)}}}'
    )


def digest_of(row: tuple[Any, ...], number: int, sealed_at: str, previous: str) -> str:
    """Return the digest of a seal: 64 hexadecimal digits."""
    text = (
        f'{{"event":{canonical(row)},"number":{number},"previous":"{previous}",'
        f'"sealed_at":"{sealed_at}"}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _number(value: int | None) -> int | str:
    return "null" if value is None else value


def _object(text: str) -> str:
    return text if text == "{}" else _to_json(json.loads(text))


def sealed_rows(connection: Any, after: int, until: int) -> Iterator[tuple[Any, ...]]:
    """Yield the seals with these numbers, each as (number, digest, time, event id, *event).

    The numbers are above `after`, and `until` at most. Without its event, all its values are None.
    """
    vendor = connection.vendor
    query = (
        "SELECT seal.number, seal.digest,"  # noqa: S608
        f" {time_expression('seal.at', vendor)}, seal.event_id, {selected(vendor)}"
        " FROM vpnportal_eventseal seal LEFT JOIN vpnportal_event event"
        " ON event.id = seal.event_id WHERE seal.number > %s AND seal.number <= %s"
        " ORDER BY seal.number"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [after, until])
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield from rows
