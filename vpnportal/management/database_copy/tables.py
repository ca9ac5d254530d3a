"""Tables of the portal, in an order in which each one follows those that it refers to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, TypeAlias

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models

from vpnportal.fields import Sealed

Row: TypeAlias = "tuple[Any, ...]"
# `migrate` fills these tables, with ids that differ between two databases.
FILLED_BY_MIGRATE = (ContentType, Permission)
ROWS_PER_READ = 2000


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a model, with the columns of a row in the order of `fields`."""

    model: type[models.Model]

    @property
    def name(self) -> str:
        """The name of the table in both databases."""
        return self.model._meta.db_table

    @property
    def fields(self) -> Sequence[Any]:
        """The fields with a column."""
        return self.model._meta.concrete_fields

    @property
    def has_numbered_rows(self) -> bool:
        """True if the primary key is a number, which a sequence continues."""
        return isinstance(self.model._meta.pk, models.IntegerField)

    def objects(self, alias: str) -> models.QuerySet[Any]:
        """Return all rows in a database, by primary key."""
        return self.model._base_manager.using(alias).order_by("pk")

    def rows(self, alias: str) -> Iterator[Row]:
        """Yield the values of all rows in a database, by primary key."""
        columns = self.objects(alias).values_list(*(field.attname for field in self.fields))
        yield from columns.iterator(chunk_size=ROWS_PER_READ)

    def last_key(self, alias: str) -> Any:
        """Return the highest primary key in a database, or None without rows."""
        return self.objects(alias).values_list("pk", flat=True).last()

    def write(self, rows: Sequence[Row], alias: str) -> None:
        """Append rows to a PostgreSQL database with COPY, without the signals of models."""
        connection: Any = connections[alias]
        quote = connection.ops.quote_name
        columns = ", ".join(quote(field.column) for field in self.fields)
        statement = f"COPY {quote(self.name)} ({columns}) FROM STDIN"
        convert = [field.get_db_prep_save for field in self.fields]
        with (
            connection.wrap_database_errors,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for row in rows:
                pairs = zip(convert, row, strict=True)
                copy.write_row([prepare(value, connection) for prepare, value in pairs])


class RowDigest:
    """The number and a digest of rows, in any order and for any kind of database."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, row: Row) -> None:
        """Add a row. The keys of its JSON values have no order, as in PostgreSQL."""
        text = json.dumps(row, sort_keys=True, default=_as_text)
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        self.count += 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowDigest):
            return NotImplemented
        return (self.count, self._sum) == (other.count, other._sum)

    __hash__ = None  # type: ignore[assignment]


def all_tables() -> list[Table]:
    """Return the tables of all installed models."""
    targets = {
        model: {
            field.related_model
            for field in model._meta.concrete_fields
            if field.related_model and field.related_model is not model
        }
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }
    return [Table(model) for model in TopologicalSorter(targets).static_order()]


def first_filled(tables: Sequence[Table], alias: str) -> tuple[Table, int] | None:
    """Return a table of a database with more rows than `migrate` writes, and their number, or None.

    A database without a schema is empty.
    """
    existing = connections[alias].introspection.table_names()
    for table in tables:
        if table.name not in existing or table.model in FILLED_BY_MIGRATE:
            continue
        if count := table.objects(alias).count():
            return table, count
    return None


def _as_text(value: object) -> str:
    return value.token if isinstance(value, Sealed) else str(value)
