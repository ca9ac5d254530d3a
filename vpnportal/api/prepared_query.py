"""Querysets that are asked many times a second: their SQL is made once and then only filled in.

To make it takes Django ten times as long as the database takes to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
# The attribute of a connection that holds the statements which were made for it.
KEPT = "prepared_statements"


class Placeholder(Expression):
    """Stands in a queryset for the `at`-th of the values that come later, which `field` writes."""

    def __init__(self, at: int, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.at = at

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Itself as the parameter: it is replaced when the statement is run."""
        return "%s", (self,)


class PreparedQuery(Generic[Row]):
    """A queryset with blanks, such as `Prepared(lambda pk: Tunnel.objects.filter(pk=pk), field)`.

    It may follow foreign keys (`select_related`) and have annotations. A list of values cannot be
    a blank, nothing can be fetched beside it (`prefetch_related`), and it must not be `none()`.
    """

    def __init__(self, rows: Callable[..., QuerySet[Row]], *blanks: Field[Any, Any]) -> None:
        self._rows = rows
        self._blanks = [Placeholder(at, field) for at, field in enumerate(blanks)]

    def __call__(self, *values: Any) -> list[Row]:
        """The rows with these values in place of the blanks, in one query."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        kept = vars(connection).setdefault(KEPT, {})
        statement = kept.get(self)
        if statement is None:
            statement = kept[self] = _Statement.of(self._rows(*self._blanks), connection)
        written = [
            blank.output_field.get_db_prep_value(value, connection)
            for blank, value in zip(self._blanks, values, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, statement.filled(written))
            return list(statement.objects(cursor.fetchall(), connection))


@dataclass(frozen=True, slots=True)
class _Statement:
    """SQL with its parameters, and how rows become objects, as Django's ModelIterable does it.

    `model` has the columns `columns`, which are called `names`.
    """

    sql: str
    parameters: Sequence[Any]
    converters: Sequence[tuple[int, Sequence[Callable[..., Any]], Any]]
    model: type[Model]
    columns: slice
    names: Sequence[str]
    related: Sequence[Any]
    annotations: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, rows: QuerySet[Any], connection: Any) -> _Statement:
        compiler: Any = rows.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        select, of_model = compiler.select, compiler.klass_info
        columns = slice(of_model["select_fields"][0], of_model["select_fields"][-1] + 1)
        converters = compiler.get_converters([one[0] for one in select])
        return cls(
            sql,
            parameters,
            [(at, *how) for at, how in converters.items()],
            of_model["model"],
            columns,
            [one[0].target.attname for one in select[columns]],
            # The stubs are ahead of Django 5.2.
            get_related_populators(of_model, select, connection.alias),  # type: ignore[call-arg]
            tuple((compiler.annotation_col_map or {}).items()),
        )

    def filled(self, values: Sequence[Any]) -> list[Any]:
        return [values[one.at] if isinstance(one, Placeholder) else one for one in self.parameters]

    def objects(self, rows: Sequence[Sequence[Any]], connection: Any) -> Iterator[Any]:
        for row in map(list, rows):
            for at, functions, expression in self.converters:
                for function in functions:
                    row[at] = function(row[at], expression, connection)
            one = self.model.from_db(connection.alias, self.names, row[self.columns])
            for populator in self.related:
                populator.populate(row, one)
            for name, at in self.annotations:
                setattr(one, name, row[at])
            yield one
