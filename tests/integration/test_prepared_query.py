"""PreparedQuery: results equal to Django's own, with SQL that is built once."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import connection
from django.db.models import AutoField, BigAutoField, CharField, Count, DateTimeField
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from vpnportal.api.prepared_query import PreparedQuery
from vpnportal.fields import Sealed
from vpnportal.models import Tunnel

pytestmark = pytest.mark.django_db


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
def test_the_sql_is_built_once_for_each_connection(tunnel, user):
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
