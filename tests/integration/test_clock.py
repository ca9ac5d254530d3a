"""A clock that is set back leaves times behind that lie ahead: nothing waits for those to come."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from vpnportal import services
from vpnportal.celery import EVERY_SECONDS, ConvergeScheduler, app
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import Concentrator, Revision, Tunnel
from vpnportal.reconciler import sa_status_store

AHEAD = timedelta(hours=6)


def test_what_is_seen_now_counts_more_than_what_was_seen_later(tunnel):
    later = timezone.now() + AHEAD
    Tunnel.objects.update(sa_status=SaStatus.UP, sa_status_at=later)

    sa_status_store.save_one(
        tunnel.concentrator, tunnel.pk, {tunnel.pk: SaStatus.DOWN}, timezone.now()
    )

    assert Tunnel.objects.get().sa_status == SaStatus.DOWN


def test_a_concentrator_seen_later_than_now_is_not_in_sight(concentrator):
    concentrator.seen_at = timezone.now() + AHEAD

    assert not concentrator.is_online()


def test_an_apply_later_than_now_locks_nothing(ready, user):
    services.apply(ready, user)
    Revision.objects.update(created_at=timezone.now() + AHEAD)

    services.edit(ready, "friendly_name", "Houston", user)

    assert Tunnel.objects.get().friendly_name == "Houston"
    assert Revision.objects.get().waits_too_long


def test_every_lane_is_looked_at_in_the_minute_after_the_clock_was_set_back(
    concentrator, monkeypatch
):
    Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.10"
    )
    looked_at = []
    monkeypatch.setattr(ConvergeScheduler, "producer", None)
    monkeypatch.setattr(
        ConvergeScheduler, "apply_entry", lambda self, entry, **_: looked_at.append(entry.name)
    )
    with monkeypatch.context() as later:
        later.setattr(app, "now", lambda: timezone.now() + AHEAD)
        scheduler = ConvergeScheduler(app=app)
        scheduler.tick()

    scheduler._read_at -= EVERY_SECONDS
    for _ in range(4):
        scheduler.tick()

    assert sorted(looked_at) == ["concentrator.hou02-vpn01", "concentrator.hou02-vpn02"]
