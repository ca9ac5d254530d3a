"""A restored backup changes nothing on a gateway that is newer, until an operator chooses."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from tests.integration.conftest import empty_database
from tests.integration.restored_backup import (
    REKEY_OF_AN_HOUR,
    Backup,
    Kind,
    Outcome,
    apply,
    converge,
    fresh,
    held,
    ordered,
    pools,
    state,
    three_kinds,
)
from vpnportal import services
from vpnportal.gateway import GatewayError
from vpnportal.models import (
    Concentrator,
    DriftRepair,
    HeldTunnel,
    Revision,
    TunnelCommand,
    TunnelMark,
)
from vpnportal.reconciler import epochs, reconcile, stand_alone
from vpnportal.reconciler.local_target import _local_target

__all__ = ["ordered", "pools", "three_kinds"]
pytestmark = pytest.mark.sqlite


def test_after_a_restore_no_converge_changes_a_gateway_that_is_newer(
    ready, second_tunnel, three_kinds, gateway
):
    backup, unknown = three_kinds
    concentrator = ready.concentrator

    for scope in (ready.pk, unknown.pk, second_tunnel.pk, None, second_tunnel.pk, ready.pk, None):
        converge(concentrator, scope)

    assert not backup.changed()
    assert held() == {
        ready.pk: Kind.CHANGED,
        unknown.pk: Kind.UNKNOWN,
        second_tunnel.pk: Kind.REMOVED,
    }
    assert not Concentrator.objects.uncompared().exists()
    assert not DriftRepair.objects.exists()


def test_the_first_converge_of_one_tunnel_compares_all(ready, three_kinds, gateway):
    backup, _ = three_kinds

    converge(ready.concentrator, ready.pk)

    assert len(held()) == 3
    assert not backup.changed()


def test_a_restart_of_charon_loads_the_held_tunnels_again(ready, three_kinds, gateway):
    backup, unknown = three_kinds
    names = set(gateway.connections)
    loaded = {name: item.as_loaded for name, item in gateway.connections.items()}
    assert names == {f"ctx{ready.pk}", f"ctx{unknown.pk}"}
    gateway.kill_charon()

    converge(ready.concentrator)

    assert {name: item.as_loaded for name, item in gateway.connections.items()} == loaded
    assert {sa.connection for sa in gateway.ike_sas} == names
    assert state(gateway)[2:4] == backup.gateway_before[2:4]


def test_a_gateway_that_boots_without_the_portal_restores_its_own_side(
    ready, second_tunnel, three_kinds, gateway
):
    backup, _ = three_kinds
    converge(ready.concentrator)
    converge(ready.concentrator, ready.pk)
    converge(ready.concentrator, second_tunnel.pk)
    _local_target.cache_clear()
    rebooted = FakeGateway()

    stand_alone.restore_missing("hou02-vpn01", rebooted)

    assert state(rebooted)[:4] == backup.gateway_before[:4]


def test_a_backup_and_its_restore_leave_the_gateway_with_what_was_applied_since(
    transactional_db, ready, user, gateway, tmp_path
):
    """With the commands, and not with savepoints."""
    (tmp_path / "backups").mkdir()
    file = str(tmp_path / "backups" / "portal.tar")
    for keylife in (1_800, 2_400):
        apply(ready, user, keylife)
    call_command("backup", file, stdout=StringIO(), stderr=StringIO())
    for keylife in (3_000, 1_200):
        apply(ready, user, keylife)
    converge(ready.concentrator)
    before = state(gateway)
    empty_database()
    out = StringIO()
    call_command("restore", file, stdout=out, stderr=StringIO())
    _local_target.cache_clear()
    assert "until you choose" in out.getvalue()

    for scope in (ready.pk, None, ready.pk):
        converge(ready.concentrator, scope)

    assert state(gateway) == before
    assert held() == {ready.pk: Kind.CHANGED}
    assert [row.problem for row in services.keep_gateways([ready.pk], None)] == [""]
    converge(ready.concentrator)
    assert state(gateway) == before
    assert list(ready.revisions.values_list("number", flat=True)) == [4, 2, 1]


def test_a_killed_comparison_repeats_with_the_same_result(ready, three_kinds, gateway, monkeypatch):
    backup, _ = three_kinds

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(epochs.LocalTarget, "begin_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            converge(ready.concentrator)
    first = held()
    _local_target.cache_clear()
    compared = []
    monkeypatch.setattr(
        epochs, "compare", lambda *args, real=epochs.compare: (compared.append(1), real(*args))
    )
    converge(ready.concentrator)
    converge(ready.concentrator)

    assert (held(), len(compared)) == (first, 1)
    assert not backup.changed()


def test_a_tunnel_that_the_backup_has_is_not_held(ready, second_tunnel, user, owner, gateway):
    apply(ready, user)
    apply(second_tunnel, user)
    backup = Backup(gateway)
    backup.restore()

    converge(ready.concentrator)

    assert held() == {}
    assert not backup.changed()
    apply(ready, user, 1_800)
    (child,) = gateway.connections[f"ctx{ready.pk}"].as_loaded.children
    assert child.rekey_seconds != REKEY_OF_AN_HOUR


def test_a_kept_tunnel_is_not_asked_for_again_if_the_comparison_repeats(
    ready, three_kinds, user, gateway
):
    """Its revision in the database has another id than that in the file of the gateway."""
    converge(ready.concentrator)
    services.keep_gateways([ready.pk], user)
    assert ready.pk not in held()
    Concentrator.objects.update(epoch=uuid4())

    converge(ready.concentrator)

    assert ready.pk not in held()
    assert held()


def test_a_gateway_that_is_older_than_the_backup_follows_it(
    ready, second_tunnel, user, owner, gateway
):
    apply(ready, user)
    apply(second_tunnel, user)
    services.edit(fresh(ready), "phase_two_keylife", 1_800, user)
    services.apply(fresh(ready), user)
    services.cancel(fresh(second_tunnel), owner)
    Backup(gateway).restore()

    converge(ready.concentrator)

    assert held() == {}
    assert list(gateway.connections) == [f"ctx{ready.pk}"]
    assert ready.revisions.get(number=2).outcome == Outcome.LIVE


def test_a_tunnel_that_was_connected_again_after_the_backup_stays_connected(
    ready, user, owner, gateway
):
    apply(ready, user)
    services.disconnect(fresh(ready), owner)
    converge(ready.concentrator, ready.pk)
    TunnelCommand.objects.update(done_at=timezone.now())
    backup = Backup(gateway)
    services.connect(fresh(ready), owner)
    converge(ready.concentrator, ready.pk)
    backup.restore()

    converge(ready.concentrator)

    assert held() == {ready.pk: Kind.CHANGED}
    assert not backup.changed()


def test_a_trial_that_was_rolled_back_after_the_backup_stays_rolled_back(ready, user, gateway):
    apply(ready, user)
    converge(ready.concentrator, ready.pk)
    services.edit(fresh(ready), "phase_two_keylife", 1_800, user)
    services.apply(fresh(ready), user, services.Trial(5))
    converge(ready.concentrator, ready.pk)
    backup = Backup(gateway)
    gateway.peer_answers = False
    gateway.ike_sas.clear()
    Revision.objects.filter(number=2).update(trial_ends_at=timezone.now())
    converge(ready.concentrator, ready.pk)
    assert ready.revisions.get(number=2).outcome == Outcome.WITHDRAWN
    gateway.peer_answers = True
    converge(ready.concentrator)
    backup.restore()
    Revision.objects.update(trial_ends_at=None)

    converge(ready.concentrator)

    assert held() == {ready.pk: Kind.CHANGED}
    assert not backup.changed()


def test_a_database_that_another_program_restored_is_noticed(ready, user, gateway):
    apply(ready, user)
    backup = Backup(gateway)
    apply(ready, user, 1_800)
    converge(ready.concentrator)
    backup.restore()
    Concentrator.objects.update(epoch=None, restored_from=None)

    converge(ready.concentrator)

    assert held() == {ready.pk: Kind.CHANGED}
    assert not backup.changed()
    epoch = Concentrator.objects.get().epoch
    converge(ready.concentrator)
    assert Concentrator.objects.get().epoch == epoch is not None


def test_an_unreadable_file_keeps_its_tunnel_as_it_is(ready, user, gateway):
    apply(ready, user)
    backup = Backup(gateway)
    apply(ready, user, 1_800)
    converge(ready.concentrator)
    backup.restore()
    (file,) = Path(settings.GATEWAY_STATE).rglob("*.json")
    file.write_text(file.read_text()[:50])

    converge(ready.concentrator, ready.pk)
    converge(ready.concentrator)

    assert held() == {ready.pk: Kind.CHANGED}
    assert not backup.changed()


def test_a_folder_that_cannot_be_read_changes_nothing(ready, user, gateway, monkeypatch):
    apply(ready, user)
    backup = Backup(gateway)
    apply(ready, user, 1_800)
    backup.restore()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(epochs.LocalTarget, "files", broken)
    with pytest.raises(GatewayError, match="Input/output error"):
        reconcile.converge(ready.concentrator_id)

    assert not backup.changed()


def test_a_converge_of_one_tunnel_has_no_query_more_where_nothing_is_held(ready, user, gateway):
    apply(ready, user)
    converge(ready.concentrator, ready.pk)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        converge(ready.concentrator, ready.pk)

    asked = [query["sql"] for query in queries if "heldtunnel" in query["sql"]]
    assert len(asked) == 1
    assert "vpnportal_concentrator" in asked[0]


def test_the_mark_and_the_addresses_of_an_unknown_tunnel_are_not_given_out(
    ready, three_kinds, concentrator, account, owner, user, gateway
):
    _, unknown = three_kinds
    converge(concentrator)
    row = HeldTunnel.objects.get(tunnel_id=unknown.pk)

    new = services.order(account, concentrator.datacenter, owner)

    assert new.pk != unknown.pk or connection.vendor == "sqlite"
    assert (new.hosted_peer, new.mark) != (row.hosted_peer, row.mark)
    assert new.hosted_peer != row.hosted_peer
    assert new.mark != row.mark
    assert str(new.subnets.get(kind="static-nat").network) not in row.static_nat
    assert new.name != row.name
    converge(concentrator)
    assert TunnelMark.objects.filter(number=row.mark).exists()
