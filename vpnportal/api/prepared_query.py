"""Prepared queries: querysets whose SQL is built once for each database connection.

Building the SQL of four querysets takes 2.5 ms of a 3 ms call. The module depends on private
parts of Django's SQL compiler (docs/decisions/023-prepared-queries.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
# Attribute of a connection that holds its statements by PreparedQuery.
STATEMENTS = "prepared_statements"


class Placeholder(Expression):
    """Parameter of a queryset whose value comes later: `index` is its position.

    `field` converts the value for the database.
    """

    def __init__(self, index: int, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.index = index

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the placeholder itself as the parameter, for `_Statement.fill` to replace."""
        return "%s", (self,)


class PreparedQuery(Generic[Row]):
    """Queryset with placeholders: `PreparedQuery(lambda pk: Tunnel.objects.filter(pk=pk), field)`.

    `select_related` and annotations work. `prefetch_related`, `none()` and a list of values as a
    placeholder do not.
    """

    def __init__(self, rows: Callable[..., QuerySet[Row]], *fields: Field[Any, Any]) -> None:
        self._rows = rows
        self._placeholders = [Placeholder(index, field) for index, field in enumerate(fields)]

    def __call__(self, *values: Any) -> list[Row]:
        """Return the model objects for these values of the placeholders, in one query."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        statements = vars(connection).setdefault(STATEMENTS, {})
        statement = statements.get(self)
        if statement is None:
            statement = _Statement.of(self._rows(*self._placeholders), connection)
            statements[self] = statement
        parameters = [
            placeholder.output_field.get_db_prep_value(value, connection)
            for placeholder, value in zip(self._placeholders, values, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, statement.fill(parameters))
            return list(statement.objects(cursor.fetchall(), connection))


@dataclass(frozen=True, slots=True)
class _Statement:
    """SQL with its parameters, and the conversion of rows to objects as in ModelIterable.

    `columns` are the columns of `model`, and `names` their attributes.
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
        select, model_info = compiler.select, compiler.klass_info
        columns = slice(model_info["select_fields"][0], model_info["select_fields"][-1] + 1)
        converters = compiler.get_converters([column[0] for column in select])
        return cls(
            sql,
            parameters,
            [(index, *converter) for index, converter in converters.items()],
            model_info["model"],
            columns,
            [column[0].target.attname for column in select[columns]],
            # The stubs are newer than Django 5.2.
            get_related_populators(model_info, select, connection.alias),  # type: ignore[call-arg]
            tuple((compiler.annotation_col_map or {}).items()),
        )

    def fill(self, values: Sequence[Any]) -> list[Any]:
        return [
            values[parameter.index] if isinstance(parameter, Placeholder) else parameter
            for parameter in self.parameters
        ]

    def objects(self, rows: Sequence[Sequence[Any]], connection: Any) -> Iterator[Any]:
        for row in map(list, rows):
            for index, functions, expression in self.converters:
                for function in functions:
                    row[index] = function(row[index], expression, connection)
            instance = self.model.from_db(connection.alias, self.names, row[self.columns])
            for populator in self.related:
                populator.populate(row, instance)
            for name, index in self.annotations:
                setattr(instance, name, row[index])
            yield instance
