"""A migration keeps every row, and every permission that an operator holds."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from vpnportal import services
from vpnportal.deployment import summary_triggers
from vpnportal.models import AddressPool, Concentrator, Revision, Tunnel, TunnelMark

pytestmark = pytest.mark.sqlite

BEFORE = [("vpnportal", "0015_api_keys")]


def migrate(targets: list[tuple[str, str]]) -> None:
    """Migrate as the command does, without its output."""
    summary_triggers.drop_triggers(connection)
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())
    summary_triggers.install(connection)


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


def test_each_tunnel_gets_a_number_and_its_revisions_that_of_their_concentrator(
    migrated_back, ready: Tunnel, second_tunnel: Tunnel, user: User
):
    old = ready.concentrator
    new = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=old.datacenter, public_address="203.0.113.5"
    )
    new.pools.create(kind="hosted-peer", network=IPv4Network("203.0.113.32/28"))
    services.apply(ready, user)
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome=Revision.Outcome.LIVE)
    services.move(second_tunnel, new, user)

    migrate([("vpnportal", "0016_plain_names")])
    migrate([])
    call_command("digests")

    held = {(row.tunnel.name, row.concentrator): row.number for row in TunnelMark.objects.live()}
    assert set(held) == {("ipsec001", old), ("ipsec002", old), ("ipsec002", new)}
    assert held["ipsec001", old] != held["ipsec002", old]
    assert Tunnel.objects.get(pk=ready.pk).mark == ready.revisions.get().mark
    assert ready.revisions.get().mark == held["ipsec001", old]
    assert Tunnel.objects.get(pk=second_tunnel.pk).mark == held["ipsec002", new]
    assert second_tunnel.revisions.get().mark == held["ipsec002", old]
    unchanged = Tunnel.objects.get(pk=ready.pk)
    assert unchanged.draft_digest == ready.revisions.get().digest
    assert not unchanged.translated_only
