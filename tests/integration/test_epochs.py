"""A restored backup changes nothing on a gateway that is newer, until an operator chooses.

`Backup` takes a savepoint as the backup, and rolls back to it as the restore.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from vpnportal import services
from vpnportal.gateway import GatewayError
from vpnportal.models import (
    Account,
    AddressPool,
    Concentrator,
    DriftRepair,
    HeldTunnel,
    RemoteClaim,
    Revision,
    Tunnel,
    TunnelCommand,
    TunnelMark,
)
from vpnportal.reconciler import epochs, reconcile
from vpnportal.reconciler.local_target import _local_target

pytestmark = pytest.mark.sqlite

Outcome = Revision.Outcome
Kind = HeldTunnel.Kind
# charon renews keys after 90 % of their life, which is an hour in a new draft.
REKEY_OF_AN_HOUR = "3240"


class Backup:
    """The state of the database at its creation, and of `gateway` at the restore."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._savepoint = transaction.savepoint()

    def restore(self) -> None:
        """Bring the database back, with new epochs, and the worker to a new process."""
        transaction.savepoint_rollback(self._savepoint)
        for row in Concentrator.objects.all():
            Concentrator.objects.filter(pk=row.pk).update(
                epoch=uuid4(), restored_from=timezone.now() - timedelta(hours=1)
            )
        _local_target.cache_clear()
        self.gateway_before = state(self._gateway)
        self._gateway.plans.clear()
        self._gateway.initiated.clear()

    def changed(self) -> bool:
        """Return True if the gateway is not as it was at the restore."""
        return bool(
            state(self._gateway) != self.gateway_before
            or self._gateway.initiated
            or any(self._gateway.plans)
        )


def state(gateway: FakeGateway) -> tuple[object, ...]:
    parts = (gateway.connections, gateway.secrets, gateway.elements, gateway.routes)
    return (*map(copy, parts), copy(gateway.ike_sas), copy(gateway.loopback_addresses))


def converge(concentrator: Concentrator, tunnel_id: int | None = None) -> None:
    while reconcile.converge(concentrator.pk, tunnel_id):
        pass


def fresh(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def apply(tunnel: Tunnel, user: User, keylife: int | None = None) -> Revision:
    """Apply the draft, with another key life, and converge the tunnel."""
    if keylife:
        services.edit(fresh(tunnel), "phase_two_keylife", keylife, user)
    revision = services.apply(fresh(tunnel), user)
    converge(fresh(tunnel).concentrator, tunnel.pk)
    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    return revision


def held() -> dict[int, str]:
    return dict(HeldTunnel.objects.undecided().values_list("tunnel_id", "kind"))


@pytest.fixture
def pools(concentrator) -> None:
    AddressPool.objects.create(
        concentrator=concentrator, kind="hosted-peer", network="203.0.113.16/28"
    )
    AddressPool.objects.create(concentrator=concentrator, kind="static-nat", network="10.9.0.0/28")


@pytest.fixture
def ordered(ready, account, concentrator, pools, user, owner, gateway) -> Callable[[], Tunnel]:
    """Return a function that orders a tunnel, fills it in and applies it."""

    def order() -> Tunnel:
        tunnel = services.order(account, concentrator.datacenter, owner)
        services.edit(tunnel, "remote_peer", "198.51.100.77", user)
        services.set_preshared_key(tunnel, "another key", user)
        services.add_remote_subnet(tunnel, services.parse_subnet("192.168.70.0", "24"), user)
        hosted = account.subnets.filter(kind="hosted").earliest("pk")
        services.attach_subnet(tunnel, hosted, user)
        internal = tunnel.subnets.get(kind="static-nat").network[1]
        row = services.TranslationRow(
            internal, services.parse_address("192.168.70.5"), "behind the peer"
        )
        services.set_translations(tunnel, [row], user)
        apply(tunnel, user)
        return tunnel

    return order


@pytest.fixture
def three_kinds(ready, second_tunnel, ordered, user, owner, gateway) -> tuple[Backup, Tunnel]:
    """Return a restored backup, and the tunnel that it does not know.

    `ready` was applied after the backup, `second_tunnel` was disconnected.
    """
    apply(ready, user)
    apply(second_tunnel, user)
    backup = Backup(gateway)
    unknown = ordered()
    apply(ready, user, 1_800)
    apply(ready, user, 2_400)
    services.disconnect(fresh(second_tunnel), owner)
    converge(ready.concentrator, second_tunnel.pk)
    converge(ready.concentrator)
    backup.restore()
    return backup, unknown


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
        epochs, "_compare", lambda *args, real=epochs._compare: (compared.append(1), real(*args))
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


def keep(*tunnels: Tunnel, **options) -> list[str]:
    return [row.problem for row in services.keep_gateways([t.pk for t in tunnels], None, **options)]


def take(*tunnels: Tunnel) -> list[str]:
    return [row.problem for row in services.take_backups([t.pk for t in tunnels], None)]


def stored_names() -> set[str]:
    _local_target.cache_clear()
    return {item.connection.name for item in epochs.local_target("hou02-vpn01").tunnels()}


def test_keeping_the_gateways_side_changes_no_gateway_and_ends_the_question(
    ready, second_tunnel, three_kinds, concentrator, user, gateway
):
    backup, unknown = three_kinds
    converge(concentrator)

    assert keep(ready, second_tunnel, unknown) == ["", "", ""]
    converge(concentrator)
    for tunnel in (ready, unknown):
        converge(concentrator, tunnel.pk)

    assert not backup.changed()
    assert held() == {}
    assert not HeldTunnel.objects.exists()
    revision = ready.revisions.get(outcome=Outcome.LIVE)
    assert (revision.number, revision.spec().phase_two.keylife) == (3, 2_400)
    assert fresh(ready).phase_two_keylife == 2_400
    assert fresh(second_tunnel).disconnected_at
    assert services.state_of(fresh(ready)).pending == ()
    adopted = fresh(unknown)
    assert (adopted.name, adopted.account, adopted.mark) == (
        unknown.name,
        unknown.account,
        unknown.mark or TunnelMark.objects.get(tunnel=adopted).number,
    )
    assert services.state_of(adopted).pending == ()
    assert RemoteClaim.objects.held().filter(revision__tunnel=adopted).count() == 2
    assert stored_names() == {f"ctx{ready.pk}", f"ctx{unknown.pk}"}
    services.edit(fresh(ready), "phase_two_keylife", 1_200, user)
    apply(ready, user)
    apply(unknown, user, 1_200)


def test_taking_the_backups_side_changes_the_gateway_to_it(
    ready, second_tunnel, three_kinds, concentrator, account, owner, gateway
):
    _, unknown = three_kinds
    converge(concentrator)
    row = HeldTunnel.objects.get(tunnel_id=unknown.pk)

    assert take(ready, second_tunnel, unknown) == ["", "", ""]
    new = services.order(account, concentrator.datacenter, owner)
    assert (new.hosted_peer, new.mark) != (row.hosted_peer, row.mark)
    assert new.hosted_peer != row.hosted_peer
    new.delete()
    converge(concentrator)

    assert set(gateway.connections) == {f"ctx{ready.pk}", f"ctx{second_tunnel.pk}"}
    (child,) = gateway.connections[f"ctx{ready.pk}"].as_loaded.children
    assert child.rekey_seconds == REKEY_OF_AN_HOUR
    assert not HeldTunnel.objects.exists()
    assert stored_names() == {f"ctx{ready.pk}", f"ctx{second_tunnel.pk}"}
    converge(concentrator)
    assert not TunnelMark.objects.filter(number=row.mark).exists()
    new = services.order(account, concentrator.datacenter, owner)
    assert (new.hosted_peer, new.mark) == (row.hosted_peer, row.mark)


@pytest.mark.parametrize("operation", ["apply", "cancel", "move", "disconnect"])
def test_a_held_tunnel_and_all_of_an_uncompared_gateway_wait(
    ready, second_tunnel, three_kinds, concentrator, user, owner, gateway, operation
):
    operations = {
        "apply": lambda tunnel: services.apply(tunnel, user),
        "cancel": lambda tunnel: services.cancel(tunnel, owner),
        "move": lambda tunnel: services.move(tunnel, other, user),
        "disconnect": lambda tunnel: services.disconnect(tunnel, owner),
    }
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network="203.0.113.48/28")
    Revision.objects.update(created_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(services.Refused, match="restored from a backup"):
        operations[operation](fresh(second_tunnel))
    converge(concentrator)
    with pytest.raises(services.Refused, match="restored from a backup"):
        operations[operation](fresh(ready))
    services.edit(fresh(ready), "phase_two_keylife", 1_200, user)
    keep(ready)

    operations[operation](fresh(ready))


def test_an_uncompared_gateway_takes_no_order(ready, pools, account, concentrator, owner, gateway):
    Concentrator.objects.update(epoch=uuid4())

    with pytest.raises(services.Refused, match="compared with the backup"):
        services.order(account, concentrator.datacenter, owner)
    assert not services.locations()[0].free
    converge(concentrator)

    assert services.order(account, concentrator.datacenter, owner)


def test_networks_of_a_held_tunnel_are_not_claimed_by_others(
    ready, second_tunnel, three_kinds, concentrator, user, gateway
):
    converge(concentrator)
    keep(second_tunnel)
    services.add_remote_subnet(
        fresh(second_tunnel), services.parse_subnet("192.168.70.128", "25"), user
    )

    with pytest.raises(services.Refused, match="another tunnel of this concentrator, which waits"):
        services.apply(fresh(second_tunnel), user)


def test_an_unknown_tunnel_of_an_account_that_is_gone_needs_an_account(
    ready, three_kinds, concentrator, account, gateway
):
    backup, unknown = three_kinds
    converge(concentrator)
    HeldTunnel.objects.filter(tunnel_id=unknown.pk).update(account_id=account.pk + 500)

    assert "--account" in keep(unknown)[0]
    assert not Tunnel.objects.filter(pk=unknown.pk).exists()
    assert keep(unknown, account=account) == [""]
    converge(concentrator)

    assert fresh(unknown).account == account
    assert not backup.changed()


def test_a_tunnel_gets_no_settings_of_another_account(
    ready, second_tunnel, three_kinds, concentrator, gateway
):
    """The number of a tunnel was given again: a database that another program restored."""
    backup, unknown = three_kinds
    other = Account.objects.create(name="Other account")
    Tunnel.objects.create(
        pk=unknown.pk,
        account=other,
        concentrator=concentrator,
        name="ipsec900",
        hosted_peer="203.0.113.250",
    )
    converge(concentrator)

    assert held()[unknown.pk] == Kind.UNKNOWN
    assert "belongs to another tunnel" in keep(unknown)[0]
    assert fresh(unknown).preshared_key.token == ""
    assert not backup.changed()
    assert take(unknown) == [""]
    converge(concentrator)
    assert f"ctx{unknown.pk}" not in gateway.connections


def test_the_backups_tunnel_waits_for_the_addresses_that_another_one_uses(
    ready, second_tunnel, three_kinds, concentrator, gateway
):
    _, unknown = three_kinds
    converge(concentrator)
    mark = fresh(second_tunnel).mark
    HeldTunnel.objects.filter(tunnel_id=unknown.pk).update(mark=mark)

    assert "uses its addresses or its mark" in take(second_tunnel)[0]
    take(unknown)
    assert "uses its addresses or its mark" in take(second_tunnel)[0]
    converge(concentrator)
    assert f"ctx{second_tunnel.pk}" not in gateway.connections

    assert take(second_tunnel) == [""]
    converge(concentrator)
    assert f"ctx{second_tunnel.pk}" in gateway.connections


def test_a_choice_is_made_once(ready, three_kinds, concentrator, gateway):
    converge(concentrator)

    assert take(ready) == [""]
    assert keep(ready) == ["This tunnel is not held any more."]
