"""A gateway without the database: it restores what it stored, and overwrites nothing newer."""

from __future__ import annotations

import json
import os
import stat
from copy import copy
from pathlib import Path
from typing import IO

import pytest
from celery.exceptions import Retry
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from vpnportal import services, tasks
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.fields import Sealed
from vpnportal.models import Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import reconcile, stand_alone
from vpnportal.reconciler.local_target import LocalTarget, _local_target, local_target

NAME = "hou02-vpn01"


def files() -> list[Path]:
    return sorted(Path(settings.GATEWAY_STATE).rglob("*.json"))


def applied(tunnel: Tunnel, user: User) -> Revision:
    """Apply the draft and return the revision with its outcome."""
    revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), user)
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)
    revision.refresh_from_db()
    return revision


def state(gateway: FakeGateway) -> tuple[object, ...]:
    return gateway.connections, gateway.secrets, gateway.elements, gateway.routes


@pytest.fixture
def rebooted() -> FakeGateway:
    """Return a gateway that lost everything but its disk."""
    return FakeGateway()


def test_a_rebooted_gateway_restores_its_tunnels_without_a_query(
    ready, user, gateway, rebooted, django_assert_num_queries
):
    applied(ready, user)
    fresh = LocalTarget(files()[0].parent, NAME)

    with django_assert_num_queries(0):
        stand_alone.restore_missing(NAME, rebooted)

    assert len(list(fresh.tunnels())) == 1
    assert state(rebooted) == state(gateway)
    assert [sa.connection for sa in rebooted.ike_sas] == [f"ctx{ready.pk}"]


def test_the_files_hold_no_secret_and_are_the_workers_alone(ready, user, gateway):
    applied(ready, user)

    (file,) = files()
    assert "a key" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_only_the_newest_live_revision_is_stored(ready, user, gateway):
    applied(ready, user)
    before = files()[0].read_text()
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", 1_800, user)
    gateway.load_refusals[f"ctx{ready.pk}"] = "no such proposal"
    applied(ready, user)
    assert files()[0].read_text() == before

    gateway.load_refusals.clear()
    applied(ready, user)
    (tunnel,) = local_target(NAME).tunnels()
    assert tunnel.connection.as_loaded == gateway.connections[f"ctx{ready.pk}"].as_loaded


def test_a_power_cut_while_a_revision_is_stored_leaves_the_one_before(ready, user, gateway):
    applied(ready, user)
    (before,) = local_target(NAME).tunnels()
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", 1_800, user)
    applied(ready, user)
    _, newest = files()

    newest.write_text("")

    assert list(local_target(NAME).tunnels()) == [before]
    _local_target.cache_clear()
    reconcile.converge(ready.concentrator_id)
    (tunnel,) = local_target(NAME).tunnels()
    assert tunnel.connection.as_loaded == gateway.connections[f"ctx{ready.pk}"].as_loaded


def test_the_next_full_converge_removes_the_files_of_older_revisions(ready, user, gateway):
    for keylife in (1_800, 2_400, 3_000):
        services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", keylife, user)
        applied(ready, user)
    newest = files()[-1]

    reconcile.converge(ready.concentrator_id)

    assert files() == [newest]


def test_a_disconnected_tunnel_is_not_restored_and_leaves_a_tombstone(
    ready, user, owner, gateway, rebooted
):
    applied(ready, user)
    services.disconnect(Tunnel.objects.get(pk=ready.pk), owner)
    reconcile.converge(ready.concentrator_id, ready.pk)

    stand_alone.restore_missing(NAME, rebooted)

    assert rebooted.connections == {}
    reconcile.converge(ready.concentrator_id)
    reconcile.converge(ready.concentrator_id)
    (tombstone,) = files()
    content = json.loads(tombstone.read_text())
    assert (content["number"], content["sealed"]) == (1, "")
    tombstone.write_text(json.dumps({**content, "removed_at": "2026-01-01T00:00:00+00:00"}))
    _local_target.cache_clear()
    reconcile.converge(ready.concentrator_id)
    assert files() == []


def test_a_tunnel_that_is_connected_again_has_a_file_again(ready, user, owner, gateway, rebooted):
    applied(ready, user)
    services.disconnect(Tunnel.objects.get(pk=ready.pk), owner)
    reconcile.converge(ready.concentrator_id, ready.pk)
    TunnelCommand.objects.update(done_at=timezone.now())
    services.connect(Tunnel.objects.get(pk=ready.pk), owner)
    reconcile.converge(ready.concentrator_id, ready.pk)

    stand_alone.restore_missing(NAME, rebooted)

    assert list(rebooted.connections) == [f"ctx{ready.pk}"]


def test_another_revision_with_the_id_of_the_stored_one_replaces_its_file(ready, user, gateway):
    """A restored database gives ids again."""
    revision = applied(ready, user)
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", 1_800, user)
    spec = Tunnel.objects.get(pk=ready.pk).draft()
    revision.specification = Sealed.of(serialize(spec), Revision.context(ready.pk, 1))
    revision.created_at = timezone.now()
    revision.save()

    reconcile.converge(ready.concentrator_id)

    (tunnel,) = local_target(NAME).tunnels()
    assert tunnel.connection.as_loaded == gateway.connections[f"ctx{ready.pk}"].as_loaded


def test_a_full_converge_stores_what_is_missing_and_removes_what_is_not_desired(
    ready, user, gateway
):
    applied(ready, user)
    (file,) = files()
    content = file.read_text()
    file.unlink()
    stale = file.with_name("999-1.json")
    stale.write_text(content.replace(f'"tunnel_id": {ready.pk}', '"tunnel_id": 999'))
    _local_target.cache_clear()

    reconcile.converge(ready.concentrator_id)

    assert file.read_text() == content
    assert [file.name for file in files()] == [file.name, "999-2.json"]


def test_a_stored_revision_does_not_replace_a_newer_one(ready, user, gateway):
    applied(ready, user)
    content = files()[0].read_text()
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", 1_800, user)
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_one_keylife", 20_000, user)
    applied(ready, user)
    files()[0].write_text(content)
    before, initiated = tuple(map(copy, state(gateway))), list(gateway.initiated)

    stand_alone.restore_missing(NAME, gateway)

    assert state(gateway) == before
    assert gateway.initiated == initiated


def test_a_changed_or_cut_file_does_not_stop_the_others(
    ready, second_tunnel, user, gateway, rebooted
):
    applied(ready, user)
    (file,) = files()
    file.with_name("70007-1.json").write_text(file.read_text()[:40])
    file.with_name("70008-1.json").write_text(
        file.read_text().replace(f'"tunnel_id": {ready.pk}', '"tunnel_id": 70008')
    )

    stand_alone.restore_missing(NAME, rebooted)

    assert list(rebooted.connections) == [f"ctx{ready.pk}"]


@pytest.mark.parametrize("entry", ["message", "connection", "retry"])
def test_without_the_database_each_way_into_the_worker_restores(
    ready, user, gateway, monkeypatch, entry: str
):
    applied(ready, user)
    rebooted = FakeGateway()
    monkeypatch.setattr(reconcile, "driver_for", lambda concentrator: rebooted)
    monkeypatch.setattr(settings, "CONCENTRATOR", NAME)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(reconcile, "find_concentrator", away)
    monkeypatch.setattr(reconcile.Concentrator.objects, "filter", away)
    if entry == "message":
        with pytest.raises(Retry):
            tasks.converge.apply((ready.concentrator_id,), throw=True, retries=0)
    elif entry == "connection":
        tasks.converge_all(f"{NAME}@host")
    else:
        tasks.converge_without_portal()

    assert list(rebooted.connections) == [f"ctx{ready.pk}"]


def test_a_full_disk_fails_no_apply(ready, user, gateway, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalTarget, "_write", full)

    assert applied(ready, user).outcome == "live"


def on_full_disk(descriptor: int, mode: str) -> IO[str]:
    """Return a file that takes no byte, in place of one that was just made."""
    os.close(descriptor)
    return Path("/dev/full").open(mode)


def test_a_full_disk_leaves_no_part_of_a_file_and_a_later_converge_stores_it(
    ready, user, gateway, monkeypatch
):
    applied(ready, user)
    before = files()
    services.edit(Tunnel.objects.get(pk=ready.pk), "phase_two_keylife", 1_800, user)
    with monkeypatch.context() as full:
        full.setattr(os, "fdopen", on_full_disk)
        assert applied(ready, user).outcome == "live"
        assert files() == before

    reconcile.converge(ready.concentrator_id)

    (newest,) = files()
    assert newest not in before
