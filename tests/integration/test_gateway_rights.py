"""The rights of a gateway in PostgreSQL: its own rows, the listed columns, and nothing else.

All other integration tests run worker and monitor under these rights (`as_gateway`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, models, transaction
from django.utils import timezone

from tests.integration.as_gateway import as_gateway
from tests.integration.two_gateways import ONE, TWO, other
from vpnportal import services
from vpnportal.deployment import rights_in_database
from vpnportal.deployment.gateway_rights import CLOSED, EARLIER_COLUMNS, RIGHTS, Rights
from vpnportal.deployment.rights_in_database import READABLE, apply_rights
from vpnportal.models import (
    AddressPool,
    AddressRelease,
    DiagnosticLog,
    DriftRepair,
    HeldTunnel,
    KeyRotation,
    PeerProbe,
    Revision,
    Subnet,
    Traffic,
    TranslationUsage,
    Tunnel,
    TunnelCommand,
)
from vpnportal.reconciler import reconcile

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no roles"),
]
__all__ = ["other"]


@pytest.fixture
def live(ready, user, gateway, concentrator) -> Tunnel:
    """Return a tunnel that is live at gateway 1, with a row in each table."""
    services.apply(ready, user)
    reconcile.converge(concentrator.pk, ready.pk)
    pool = IPv4Network("10.1.255.0/24")
    AddressPool.objects.create(concentrator=concentrator, kind="static-nat", network=pool)
    AddressRelease.objects.create(
        concentrator=concentrator, tunnel=ready, hosted_peer="203.0.113.1", author=user
    )
    DriftRepair.objects.create(concentrator=concentrator, tunnel=ready, text="Loaded it again")
    TunnelCommand.objects.create(tunnel=ready, kind=TunnelCommand.Kind.REKEY)
    KeyRotation.objects.create(tunnel=ready, ends_at=timezone.now())
    PeerProbe.objects.create(tunnel=ready)
    DiagnosticLog.objects.create(tunnel=ready)
    TranslationUsage.objects.create(tunnel=ready)
    HeldTunnel.objects.create(concentrator=concentrator, tunnel_id=9, kind="unknown", number=1)
    Traffic.objects.create(tunnel=ready, concentrator=concentrator, taken_at=timezone.now())
    return ready


def rows(statement: str, *values: object) -> int:
    """Return the number of rows that a statement reads or changes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount


@contextmanager
def refused(text: str = "permission denied") -> Iterator[None]:
    """Expect that the database refuses a statement."""
    with pytest.raises(ProgrammingError, match=text):
        yield


def table(rights: Rights) -> str:
    return f"vpnportal_{rights.table}"


def columns(model: type[models.Model]) -> set[str]:
    return {field.column for field in model._meta.local_concrete_fields}


def model_of(rights: Rights) -> type[models.Model]:
    everything = apps.get_app_config("vpnportal").get_models(include_auto_created=True)
    (model,) = (model for model in everything if model._meta.db_table == table(rights))
    return model


def test_each_table_is_listed_or_closed_with_a_reason_and_no_column_is_unknown():
    listed = {table(rights) for rights in RIGHTS}
    for model in apps.get_app_config("vpnportal").get_models(include_auto_created=True):
        assert (model._meta.db_table in listed) != (model.__name__ in CLOSED), (
            f"{model.__name__} belongs in RIGHTS, or in CLOSED with the reason"
        )
    for rights in RIGHTS:
        used = {*rights.select, *rights.insert, *rights.update}
        assert used <= columns(model_of(rights)), rights.table


def test_gateway_2_reads_no_row_of_gateway_1(live, other):
    for rights in (rights for rights in RIGHTS if rights.select):
        query = f'SELECT "{rights.select[0]}" FROM {table(rights)}'  # noqa: S608
        query += {
            "concentrator": f" WHERE name = '{ONE}'",
            "addresspool": " WHERE kind = 'static-nat'",
        }.get(rights.table, "")
        with as_gateway(ONE):
            assert rows(query) > 0, rights.table
        with as_gateway(TWO):
            assert rows(query) == 0, rights.table


def test_gateway_2_changes_and_deletes_no_row_of_gateway_1(live, other):
    for rights in RIGHTS:
        assigned = ", ".join(f'"{column}" = "{column}"' for column in rights.update)
        update = f"UPDATE {table(rights)} SET {assigned}"  # noqa: S608
        delete = f"DELETE FROM {table(rights)}"  # noqa: S608
        own = rights.table == "concentrator"
        with as_gateway(TWO):
            if rights.update:
                assert rows(update) == own, rights.table
            if rights.delete_rows:
                assert rows(delete) == 0, rights.table
            else:
                with refused():
                    rows(delete)
        with as_gateway(ONE):
            assert not rights.update or rows(update) > 0, rights.table


def test_no_other_column_can_be_read_or_changed(concentrator):
    with as_gateway(ONE):
        for rights in RIGHTS:
            for column in sorted(columns(model_of(rights)) - {*rights.select}):
                with refused():
                    rows(f'SELECT "{column}" FROM {table(rights)}')  # noqa: S608
            locked = {"id"} if rights.lock else set()
            for column in sorted(columns(model_of(rights)) - {*rights.update} - locked):
                with refused():
                    rows(f'UPDATE {table(rights)} SET "{column}" = "{column}"')  # noqa: S608


def test_accounts_users_sessions_and_keys_are_closed(live):
    open_tables = {*map(table, RIGHTS), *READABLE}
    closed = [name for name in connection.introspection.table_names() if name not in open_tables]
    assert {"auth_user", "django_session", "vpnportal_apikey", "mfa_authenticator"} <= {*closed}
    with as_gateway(ONE):
        for name in closed:
            with refused():
                rows(f"SELECT 1 FROM {name}")  # noqa: S608


def test_a_new_table_is_closed_and_a_gateway_makes_none(db):
    rows("CREATE TABLE vpnportal_new (id bigint)")
    apply_rights(connection)
    with as_gateway(ONE):
        with refused():
            rows("SELECT 1 FROM vpnportal_new")
        with refused():
            rows("CREATE TABLE public.mine (id bigint)")


def test_a_gateway_changes_neither_an_account_nor_a_subnet_that_it_locks(live):
    with as_gateway(ONE):
        for name in ("account", "subnet"):
            assert rows(f"SELECT id FROM vpnportal_{name} FOR NO KEY UPDATE") > 0  # noqa: S608
            with refused("row-level security"):
                rows(f"UPDATE vpnportal_{name} SET id = id")  # noqa: S608


def copy_of(revision: Revision, **changes: object) -> Revision:
    """Return an unsaved revision as a trial that failed restores it, with changes."""
    copy = Revision.objects.get(pk=revision.pk)
    restored = {"pk": None, "number": 99, "author": None, "outcome": "queued", "restored_number": 1}
    for name, value in (restored | changes).items():
        setattr(copy, name, value)
    copy._state.adding = True
    return copy


def test_a_gateway_cannot_give_itself_a_tunnel(live, other, concentrator, user):
    AddressRelease.objects.all().delete()
    revision = live.revisions.get()
    stolen, given = copy_of(revision, concentrator=other), copy_of(revision, concentrator=other)
    forged = [
        copy_of(revision, **{name: value})
        for name, value in (("author", user), ("outcome", "live"), ("restored_number", None))
    ]
    with as_gateway(TWO):
        with refused("row-level security"), transaction.atomic():
            stolen.save()
        for statement in (
            "UPDATE vpnportal_tunnel SET concentrator_id = %s",
            "UPDATE vpnportal_revision SET concentrator_id = %s",
            "INSERT INTO vpnportal_addressrelease (concentrator_id) VALUES (%s)",
        ):
            with refused():
                rows(statement, other.pk)
        with refused("row-level security"):
            held = "(concentrator_id, number, tunnel_id) VALUES (%s, 9, %s)"
            rows(f"INSERT INTO vpnportal_tunnelmark {held}", other.pk, live.pk)
    with as_gateway(ONE):
        for row in (given, *forged):
            with refused("row-level security"), transaction.atomic():
                row.save()
        copy_of(revision).save()


@pytest.mark.parametrize("name", ["diagnosticlog", "translationusage"])
def test_a_gateway_adds_records_of_its_own_tunnels_only(live, other, name):
    rows(f"DELETE FROM vpnportal_{name}")  # noqa: S608
    values = {
        "diagnosticlog": "(tunnel_id, lines, anomalies, changed_at) VALUES (%s, '[]', '{}', now())",
        "translationusage": "(tunnel_id, pairs) VALUES (%s, '{}')",
    }[name]
    insert = f"INSERT INTO vpnportal_{name} {values}"
    with as_gateway(TWO), refused("row-level security"):
        rows(insert, live.pk)
    with as_gateway(ONE):
        assert rows(insert, live.pk) == 1
        with refused():
            rows(f"UPDATE vpnportal_{name} SET id = id + 1")  # noqa: S608


def test_a_gateway_deletes_nothing_of_a_live_tunnel(live):
    """Only its own notes of what it holds beside a restored database."""
    deletable = {rights.table for rights in RIGHTS if rights.delete_rows} - {"heldtunnel"}
    with as_gateway(ONE):
        for name in deletable:
            assert rows(f"DELETE FROM vpnportal_{name}") == 0, name  # noqa: S608


def test_a_tunnel_that_moves_is_of_both_gateways_until_the_old_one_released_it(
    ready, user, other, concentrator, gateway
):
    services.apply(ready, user)
    reconcile.converge(concentrator.pk, ready.pk)
    seen = "SELECT id FROM vpnportal_tunnel"
    of_two = f"SELECT id FROM vpnportal_revision WHERE concentrator_id = {other.pk}"  # noqa: S608

    services.move(ready, other, user)
    services.apply(ready, user)
    for name in (ONE, TWO):
        with as_gateway(name):
            assert (rows(seen), rows(of_two)) == (1, 1)
    with as_gateway(TWO):
        assert rows("SELECT id FROM vpnportal_concentrator") == 2
        assert rows("UPDATE vpnportal_concentrator SET seen_at = seen_at") == 1

    AddressRelease.objects.update(released_at=timezone.now())
    with as_gateway(ONE):
        assert (rows(seen), rows(of_two)) == (0, 0)
        assert rows("SELECT id FROM vpnportal_revision") == 1, "its own history stays"
    with as_gateway(TWO):
        assert rows("SELECT id FROM vpnportal_concentrator") == 1


def test_a_trial_that_fails_after_the_draft_moved_is_rolled_back_by_the_old_gateway(
    ready, user, other, concentrator, gateway
):
    services.apply(ready, user)
    reconcile.converge(concentrator.pk, ready.pk)
    services.edit(ready, "phase_two_group", 14, user)
    gateway.peer_answers = False
    services.apply(ready, user, services.Trial(seconds=30))
    reconcile.converge(concentrator.pk, ready.pk)
    services.move(ready, other, user)
    Revision.objects.filter(number=2).update(trial_ends_at=timezone.now())

    reconcile.converge(concentrator.pk, ready.pk)

    restored = ready.revisions.get(number=3)
    assert (restored.concentrator, restored.outcome) == (concentrator, "live")


@pytest.mark.parametrize("moves_before", [False, True])
def test_a_deleted_tunnel_frees_its_subnets_but_not_one_that_a_tunnel_of_another_gateway_uses(
    ready, user, other, concentrator, gateway, account, moves_before
):
    """The last gateway frees them, also if draft and pool are of another one."""
    AddressPool.objects.create(
        concentrator=other if moves_before else concentrator,
        kind="static-nat",
        network=IPv4Network("10.1.255.0/24"),
    )
    services.add_remote_subnet(ready, IPv4Network("192.168.77.0/24"), user)
    shared = Subnet.objects.get(network=IPv4Network("192.168.77.0/24"))
    elsewhere = Tunnel.objects.create(
        account=account, concentrator=other, name="ipsec002", hosted_peer="203.0.113.39"
    )
    elsewhere.subnets.add(shared)
    services.apply(ready, user)
    reconcile.converge(concentrator.pk, ready.pk)
    if moves_before:
        services.move(ready, other, user)

    services.cancel(ready, user)
    reconcile.converge(concentrator.pk)

    assert not ready.subnets.exists()
    assert not ready.releases.open().exists()
    assert list(Subnet.objects.exclude(kind="hosted")) == [shared]


def test_the_rights_are_written_once_and_again_after_a_change_of_them(monkeypatch):
    assert not apply_rights(connection)
    for change in (
        'GRANT SELECT ON auth_user TO "vpnportal-gateways"',
        'GRANT UPDATE (name) ON vpnportal_tunnel TO "vpnportal-gateways"',
        "DROP POLICY gateways_select ON vpnportal_tunnel",
        "ALTER TABLE vpnportal_tunnel DISABLE ROW LEVEL SECURITY",
    ):
        rows(change)
        assert apply_rights(connection), change
        assert not apply_rights(connection)
    fewer = tuple(replace(rights, select=rights.select[:1]) for rights in RIGHTS)
    monkeypatch.setattr(rights_in_database, "RIGHTS", fewer)
    assert apply_rights(connection)


def test_a_worker_of_the_version_before_may_read_what_it_reads(db, monkeypatch):
    read = "SELECT preshared_key FROM vpnportal_tunnel"
    with as_gateway(ONE), refused():
        rows(read)
    monkeypatch.setitem(EARLIER_COLUMNS, "tunnel", ("preshared_key",))
    assert apply_rights(connection)
    with as_gateway(ONE):
        assert rows(read) == 0


@pytest.mark.django_db(transaction=True)
def test_the_rights_wait_for_a_transaction_that_uses_a_table(monkeypatch):
    monkeypatch.setattr(rights_in_database, "LOCK_MILLISECONDS", 50)
    rows("DROP POLICY gateways_select ON vpnportal_tunnel")
    worker = connection.copy()
    worker.set_autocommit(False)
    with worker.cursor() as cursor:
        cursor.execute("SELECT 1 FROM vpnportal_revision")
    waits = []

    def end_worker(text, error):
        waits.append(str(error))
        worker.close()

    monkeypatch.setattr(rights_in_database.log, "warning", end_worker)
    try:
        assert apply_rights(connection)
    finally:
        worker.close()
    assert ["lock timeout" in wait for wait in waits] == [True]


def test_with_the_schema_of_an_older_version_gateways_have_no_rights(concentrator):
    rows("ALTER TABLE vpnportal_revision RENAME first_up_at TO up_at")
    assert apply_rights(connection)
    with as_gateway(ONE), refused():
        rows("SELECT id FROM vpnportal_concentrator")


def test_a_converge_of_these_tests_has_the_role_of_its_gateway(
    ready, user, concentrator, gateway, monkeypatch
):
    roles = []

    def observe(*arguments, original=gateway.observe):
        with connection.cursor() as cursor:
            cursor.execute("SELECT session_user")
            roles.extend(cursor.fetchone())
        return original(*arguments)

    monkeypatch.setattr(gateway, "observe", observe)
    services.apply(ready, user)
    reconcile.converge(concentrator.pk, ready.pk)

    assert {*roles} == {f"gw_{ONE}"}
