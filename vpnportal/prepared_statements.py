"""Prepared statements: querysets and updates whose SQL is built once for each connection.

Django takes longer to build the SQL of a short statement than SQLite to execute it. The module
depends on private parts of Django's SQL compiler (docs/decisions/023-prepared-statements.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql.subqueries import UpdateQuery

Row = TypeVar("Row", bound=Model)
Statement = TypeVar("Statement")
# Attribute of a connection that holds its statements by PreparedQuery or PreparedUpdate. Django
# keeps the connection object of a thread when it closes and opens the database again.
STATEMENTS = "prepared_statements"


class Placeholder(Expression):
    """Parameter of a statement whose value comes later: `key` is its position or its column.

    `field` converts the value for the database.
    """

    def __init__(self, key: int | str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.key = key

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the placeholder itself as the parameter, for `_fill` to replace."""
        return "%s", (self,)


class _Prepared(ABC, Generic[Statement]):
    """A statement with placeholders, built from `rows` for each connection.

    `rows` is a function that returns a queryset. It takes every value that differs between two
    calls from a placeholder, the time too.
    """

    def __init__(self, rows: Callable[..., QuerySet[Any]], fields: Sequence[Field[Any, Any]]):
        self.rows = rows
        self.placeholders = [Placeholder(index, field) for index, field in enumerate(fields)]

    def _statement(self, connection: Any) -> Statement:
        """Return the statement of a connection, built at the first call."""
        statements = vars(connection).setdefault(STATEMENTS, {})
        if self not in statements:
            statements[self] = self._build(self.rows(*self.placeholders), connection)
        statement: Statement = statements[self]
        return statement

    @abstractmethod
    def _build(self, rows: QuerySet[Any], connection: Any) -> Statement:
        """Return the statement of a queryset for the kind of database of the connection."""

    def _converted(self, values: Sequence[Any], connection: Any) -> dict[int | str, Any]:
        """Return the values as the database takes them, by key of their placeholder."""
        return {
            placeholder.key: placeholder.output_field.get_db_prep_value(value, connection)
            for placeholder, value in zip(self.placeholders, values, strict=True)
        }


class PreparedQuery(_Prepared["_Select"], Generic[Row]):
    """Queryset with placeholders: `PreparedQuery(lambda pk: Tunnel.objects.filter(pk=pk), field)`.

    `select_related` and annotations work. `prefetch_related`, `none()` and a list of values as a
    placeholder do not.
    """

    def __init__(self, rows: Callable[..., QuerySet[Row]], *fields: Field[Any, Any]) -> None:
        super().__init__(rows, fields)

    def __call__(self, *values: Any) -> list[Row]:
        """Return the model objects for these values of the placeholders, in one query."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        statement = self._statement(connection)
        parameters = _fill(statement.parameters, self._converted(values, connection))
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, parameters)
            return list(statement.objects(cursor.fetchall(), connection))

    def _build(self, rows: QuerySet[Any], connection: Any) -> _Select:
        return _Select.of(rows, connection)


class PreparedUpdate(_Prepared["_Update"]):
    """UPDATE with placeholders: `PreparedUpdate(rows, BigAutoField(), columns=("name",))`.

    `columns` are the fields to write. The queryset has no join.
    """

    def __init__(
        self,
        rows: Callable[..., QuerySet[Any]],
        *fields: Field[Any, Any],
        columns: Sequence[str],
    ) -> None:
        super().__init__(rows, fields)
        self.columns = frozenset(columns)

    def __call__(self, *values: Any, **columns: Any) -> int:
        """Write the values of the columns; return the number of rows, as `QuerySet.update` does.

        Raises TypeError if `columns` does not have exactly the columns of this statement.
        """
        if columns.keys() != self.columns:
            raise TypeError(f"The columns are {sorted(self.columns)}, not {sorted(columns)}.")
        connection: Any = connections[DEFAULT_DB_ALIAS]
        statement = self._statement(connection)
        converted = self._converted(values, connection)
        for name, value in columns.items():
            converted[name] = statement.fields[name].get_db_prep_save(value, connection)
        with (
            transaction.mark_for_rollback_on_error(using=connection.alias),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement.sql, _fill(statement.parameters, converted))
            return int(cursor.rowcount)

    def _build(self, rows: QuerySet[Any], connection: Any) -> _Update:
        return _Update.of(rows, sorted(self.columns), connection)


@dataclass(frozen=True, slots=True)
class _Select:
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
    def of(cls, rows: QuerySet[Any], connection: Any) -> _Select:
        """Return the statement of a queryset, for the kind of database of the connection."""
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

    def objects(self, rows: Sequence[Sequence[Any]], connection: Any) -> Iterator[Any]:
        """Yield a model object for each row."""
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


@dataclass(frozen=True, slots=True)
class _Update:
    """SQL with its parameters, and the fields that convert the new values, by column."""

    sql: str
    parameters: Sequence[Any]
    fields: Mapping[str, Field[Any, Any]]

    @classmethod
    def of(cls, rows: QuerySet[Any], columns: Sequence[str], connection: Any) -> _Update:
        """Return the statement that updates `columns` of a queryset, as `QuerySet.update` does."""
        options = rows.model._meta
        fields: dict[str, Any] = {name: options.get_field(name) for name in columns}
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values({name: Placeholder(name, fields[name]) for name in columns})
        query.annotations = {}
        sql, parameters = query.get_compiler(connection=connection).as_sql()
        return cls(sql, parameters, fields)


def _fill(parameters: Sequence[Any], values: Mapping[int | str, Any]) -> list[Any]:
    """Return the parameters with the values, by key, in place of the placeholders."""
    return [
        values[parameter.key] if isinstance(parameter, Placeholder) else parameter
        for parameter in parameters
    ]
