"""A migration keeps every row, and every permission that an operator holds."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from vpnportal.models import AddressPool, Concentrator

BEFORE = [("vpnportal", "0015_api_keys")]


def migrate(targets: list[tuple[str, str]]) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


@pytest.fixture
def migrated_back(transactional_db) -> Iterator[None]:
    """Leave the newest schema behind, whatever a test did."""
    yield
    migrate([])


def test_renamed_models_keep_their_rows_and_the_permissions_of_operators(
    migrated_back, concentrator: Concentrator
):
    pool = concentrator.pools.create(kind="hosted-peer", network=IPv4Network("203.0.113.16/28"))
    operators = Group.objects.create(name="operators")
    operators.permissions.add(Permission.objects.get(codename="change_addresspool"))

    migrate(BEFORE)
    assert [row.codename for row in operators.permissions.all()] == ["change_pool"]
    migrate([])

    assert AddressPool.objects.get() == pool
    held = operators.permissions.get()
    assert (held.codename, held.name) == ("change_addresspool", "Can change address pool")
    assert held.content_type.model == "addresspool"
