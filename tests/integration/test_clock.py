"""Stored times in the future delay nothing, and beat keeps its times while the database is away."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError
from django.utils import timezone

from vpnportal import services
from vpnportal.celery import EVERY_SECONDS, MINUTE_TASKS, RETRY_SECONDS, PortalScheduler, app
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import Concentrator, Revision, Tunnel
from vpnportal.reconciler import sa_status_store

FUTURE = timedelta(hours=6)


def test_a_status_from_now_replaces_a_status_from_the_future(tunnel):
    later = timezone.now() + FUTURE
    Tunnel.objects.update(sa_status=SaStatus.UP, sa_status_at=later)

    sa_status_store.save_one(
        tunnel.concentrator, tunnel.pk, {tunnel.pk: SaStatus.DOWN}, timezone.now()
    )

    assert Tunnel.objects.get().sa_status == SaStatus.DOWN


def test_a_concentrator_with_a_status_from_the_future_is_offline(concentrator):
    concentrator.seen_at = timezone.now() + FUTURE

    assert not concentrator.is_online()


def test_an_apply_from_the_future_locks_nothing(ready, user):
    services.apply(ready, user)
    Revision.objects.update(created_at=timezone.now() + FUTURE)

    services.edit(ready, "friendly_name", "Houston", user)

    assert Tunnel.objects.get().friendly_name == "Houston"
    assert Revision.objects.get().waits_too_long


def test_every_concentrator_is_converged_in_the_minute_after_the_clock_was_set_back(
    concentrator, monkeypatch
):
    Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.10"
    )
    converged = []
    monkeypatch.setattr(PortalScheduler, "producer", None)
    monkeypatch.setattr(
        PortalScheduler, "apply_entry", lambda self, entry, **_: converged.append(entry.name)
    )
    with monkeypatch.context() as later:
        later.setattr(app, "now", lambda: timezone.now() + FUTURE)
        scheduler = PortalScheduler(app=app)
        scheduler.tick()

    scheduler._read_at -= EVERY_SECONDS
    for _ in range(8):
        scheduler.tick()

    concentrators = ["concentrator.hou02-vpn01", "concentrator.hou02-vpn02"]
    assert sorted(name for name in converged if name in concentrators) == concentrators
    assert set(MINUTE_TASKS) <= set(converged)


def test_beat_keeps_its_entries_while_the_database_is_away_and_reads_them_again_soon_after(
    concentrator, monkeypatch
):
    monkeypatch.setattr(PortalScheduler, "producer", None)
    monkeypatch.setattr(PortalScheduler, "apply_entry", lambda self, entry, **_: None)
    scheduler = PortalScheduler(app=app)
    known = set(scheduler.schedule)
    assert concentrator.queue in known
    scheduler._read_at -= EVERY_SECONDS
    with monkeypatch.context() as outage:
        outage.setattr(Concentrator.objects, "all", away)
        # It would end the transaction of the test.
        outage.setattr("vpnportal.celery.close_old_connections", lambda: None)
        assert scheduler.tick() <= RETRY_SECONDS
        assert set(scheduler.schedule) == known

    Concentrator.objects.update(name="hou02-vpn09")
    scheduler._read_at -= RETRY_SECONDS
    scheduler.tick()

    assert "concentrator.hou02-vpn09" in scheduler.schedule


def away(*_: object) -> None:
    raise OperationalError("connection refused")
