"""Prepared statements: results and SQL equal to Django's own, with SQL that is built once."""

from __future__ import annotations

import gc
import re
from datetime import UTC, datetime
from functools import partial
from threading import Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import (
    AutoField,
    BigAutoField,
    CharField,
    Count,
    DateTimeField,
    Field,
    IntegerField,
    JSONField,
)
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from vpnportal import services, tasks
from vpnportal.api import middleware
from vpnportal.fields import Sealed
from vpnportal.models import Revision, Tunnel
from vpnportal.prepared_statements import PreparedQuery, PreparedUpdate

# The modules whose statements are compared: all that these import.
LOADED = (middleware, tasks)

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def tunnels_of_user(user_pk, pk):
    """Return a queryset with a join, foreign keys, an annotation and converted columns."""
    tunnels = Tunnel.objects.filter(account__memberships__user_id=user_pk, pk=pk)
    return tunnels.select_related(
        "account", "concentrator__datacenter", "disconnected_by"
    ).annotate(count=Count("subnets"))


@pytest.fixture
def query() -> PreparedQuery[Tunnel]:
    return PreparedQuery(tunnels_of_user, AutoField(), BigAutoField())


def test_rows_equal_those_of_django_with_related_objects_and_annotations(query, tunnel, user):
    tunnel.preshared_key = Sealed.of("a key", tunnel.preshared_key_context)
    tunnel.ordered_at = timezone.now()
    tunnel.save()

    (row,) = query(user.pk, tunnel.pk)
    expected = tunnels_of_user(user.pk, tunnel.pk).get()

    assert {**vars(row), "_state": 0} == {**vars(expected), "_state": 0}
    assert row.preshared_key.open(row.preshared_key_context) == "a key"
    with CaptureQueriesContext(connection) as queries:
        assert row.concentrator.datacenter == expected.concentrator.datacenter
        assert (row.account, row.disconnected_by, row.count) == (
            expected.account,
            None,
            expected.count,
        )
    assert not queries
    row.friendly_name = "renamed"
    row.save()
    assert Tunnel.objects.get().friendly_name == "renamed"


def test_each_call_has_its_own_values_and_one_query(query, tunnel, user):
    other = Tunnel.objects.create(
        account=tunnel.account,
        concentrator=tunnel.concentrator,
        name="ipsec002",
        hosted_peer="192.0.2.2",
    )

    with CaptureQueriesContext(connection) as queries:
        assert [row.pk for row in query(user.pk, other.pk)] == [other.pk]
        assert [row.pk for row in query(user.pk, tunnel.pk)] == [tunnel.pk]
        assert query(user.pk + 1, tunnel.pk) == []
    assert len(queries) == 3


def test_a_time_is_converted_as_the_database_stores_it(tunnel):
    tunnel.ordered_at = timezone.now()
    tunnel.save()
    since = PreparedQuery(
        lambda at, name: Tunnel.objects.filter(ordered_at__gte=at, name=name),
        DateTimeField(),
        CharField(),
    )

    assert since(tunnel.ordered_at, tunnel.name) == [tunnel]
    assert since(timezone.now(), tunnel.name) == []


@pytest.mark.django_db(transaction=True)
def test_the_sql_is_built_once_for_each_thread_although_its_connection_closes(tunnel, user):
    builds = []

    def rows(user_pk, pk):
        builds.append(connection)
        return tunnels_of_user(user_pk, pk)

    def run_queries() -> None:
        for _ in range(3):
            assert query(user.pk, tunnel.pk) == [tunnel]
            connection.close()

    query = PreparedQuery(rows, AutoField(), BigAutoField())
    run_queries()
    thread = Thread(target=run_queries)
    thread.start()
    thread.join()

    assert len(builds) == 2


def sample(field: Field, number: int) -> object:
    """Return a value that a column of this kind can hold, another one for each number."""
    if isinstance(field, DateTimeField):
        return datetime(2026, 1, 1, 12, 0, number, number, tzinfo=UTC)
    if isinstance(field, JSONField):
        return [{"text": "it's %s", "number": number}]
    return number if isinstance(field, IntegerField) else f"x%{number}"


def executed(action) -> str:
    """Return the SQL of the statement that an action executes, with its values.

    Django writes parentheses around an expression, and none around a value.
    """
    with CaptureQueriesContext(connection) as queries:
        action()
    (query,) = queries
    return re.sub(r"(?<=[=<>] )\(('(?:[^']|'')*'(?:::\w+)?|\d+)\)", r"\1", query["sql"])


def statements(kind: type) -> list:
    """Return the prepared statements of the product."""
    gc.collect()
    return [
        prepared
        for prepared in gc.get_objects()
        if issubclass(type(prepared), kind) and prepared.rows.__module__.startswith("vpnportal.")
    ]


def samples(prepared, number: int) -> list:
    """Return a value for each placeholder."""
    return [
        sample(placeholder.output_field, number + placeholder.key)
        for placeholder in prepared.placeholders
    ]


@pytest.mark.parametrize("number", [1, 20])
def test_each_query_of_the_product_executes_what_django_builds_for_its_values(db, number):
    queries = [(query, samples(query, number)) for query in statements(PreparedQuery)]

    for query, values in queries:
        expected = executed(partial(list, query.rows(*values)))
        assert executed(partial(query, *values)) == expected
    assert len(queries) > 15


@pytest.mark.parametrize("number", [1, 20])
def test_each_update_of_the_product_executes_what_django_builds_for_its_values(db, number):
    updates = [(update, samples(update, number)) for update in statements(PreparedUpdate)]

    for update, values in updates:
        rows = update.rows(*values)
        fields = {name: rows.model._meta.get_field(name) for name in sorted(update.columns)}
        columns = {name: sample(field, number) for name, field in fields.items()}
        expected = executed(partial(rows.update, **columns))
        assert executed(partial(update, *values, **columns)) == expected
    assert len(updates) >= 5


def test_an_update_writes_its_rows_with_null_and_json_and_returns_their_number(second_tunnel, user):
    revision = services.apply(second_tunnel, user)
    update = PreparedUpdate(
        lambda pk: Revision.objects.filter(pk=pk),
        BigAutoField(),
        columns=("steps", "finished_at", "trial_ends_at"),
    )
    now, steps = timezone.now(), [{"text": "50 %s of ?", "ok": None}]

    assert update(revision.pk, steps=[], finished_at=None, trial_ends_at=now) == 1
    assert update(revision.pk, steps=steps, finished_at=now, trial_ends_at=None) == 1
    assert update(revision.pk + 1, steps=[], finished_at=None, trial_ends_at=None) == 0

    revision.refresh_from_db()
    assert (revision.steps, revision.finished_at, revision.trial_ends_at) == (steps, now, None)
    with pytest.raises(TypeError, match="steps"):
        update(revision.pk, finished_at=None)


def test_a_refused_update_rolls_its_transaction_back_as_in_django(tunnel):
    update = PreparedUpdate(
        lambda pk: Tunnel.objects.filter(pk=pk), BigAutoField(), columns=("name", "notes")
    )
    renamed = Tunnel.objects.filter(pk=tunnel.pk)

    with pytest.raises(IntegrityError), transaction.atomic():
        renamed.update(name="renamed")
        update(tunnel.pk, name=None, notes="")
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            update(tunnel.pk, name=None, notes="")
        assert transaction.get_rollback()

    assert renamed.get().name == tunnel.name
