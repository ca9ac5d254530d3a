"""Prepared querysets: what Django itself would find, with the SQL made once."""

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


def of_person(user_pk, pk):
    """With a join, foreign keys that are followed, an annotation, and converted columns."""
    mine = Tunnel.objects.filter(account__memberships__user_id=user_pk, pk=pk)
    return mine.select_related("account", "concentrator__datacenter", "disconnected_by").annotate(
        count=Count("subnets")
    )


@pytest.fixture
def prepared() -> PreparedQuery[Tunnel]:
    return PreparedQuery(of_person, AutoField(), BigAutoField())


def test_rows_are_those_that_django_finds_with_all_that_belongs_to_them(prepared, tunnel, user):
    tunnel.preshared_key = Sealed.of("a key", tunnel.preshared_key_context)
    tunnel.ordered_at = timezone.now()
    tunnel.save()

    (found,) = prepared(user.pk, tunnel.pk)
    known = of_person(user.pk, tunnel.pk).get()

    assert {**vars(found), "_state": 0} == {**vars(known), "_state": 0}
    assert found.preshared_key.open(found.preshared_key_context) == "a key"
    with CaptureQueriesContext(connection) as asked:
        assert found.concentrator.datacenter == known.concentrator.datacenter
        assert (found.account, found.disconnected_by, found.count) == (
            known.account,
            None,
            known.count,
        )
    assert not asked
    found.friendly_name = "renamed"
    found.save()
    assert Tunnel.objects.get().friendly_name == "renamed"


def test_each_call_has_its_own_values_and_one_query(prepared, tunnel, user):
    other = Tunnel.objects.create(
        account=tunnel.account,
        concentrator=tunnel.concentrator,
        name="ipsec002",
        hosted_peer="192.0.2.2",
    )

    with CaptureQueriesContext(connection) as asked:
        assert [one.pk for one in prepared(user.pk, other.pk)] == [other.pk]
        assert [one.pk for one in prepared(user.pk, tunnel.pk)] == [tunnel.pk]
        assert prepared(user.pk + 1, tunnel.pk) == []
    assert len(asked) == 3


def test_a_time_is_compared_as_it_is_kept(tunnel):
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
def test_the_sql_is_made_once_for_each_connection(tunnel, user):
    made = []

    def counted(user_pk, pk):
        made.append(connection)
        return of_person(user_pk, pk)

    def ask() -> None:
        for _ in range(3):
            assert prepared(user.pk, tunnel.pk) == [tunnel]
        connection.close()

    prepared = PreparedQuery(counted, AutoField(), BigAutoField())
    ask()
    thread = Thread(target=ask)
    thread.start()
    thread.join()

    assert len(made) == 2
