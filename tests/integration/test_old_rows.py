"""The daily removal takes old rows that nothing needs, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.utils import timezone

from vpnportal import services
from vpnportal.celery import DAILY_TASKS, MINUTE_TASKS, RUN_IMPORT, SEND_MAIL, app
from vpnportal.models import PeerProbe, Revision, TunnelCommand
from vpnportal.portal_tasks import remove_old_rows

NOW = timezone.now()
OLD, RECENT = NOW - timedelta(days=401), NOW - timedelta(days=399)


def command(tunnel, done_at):
    return TunnelCommand.objects.create(tunnel=tunnel, kind="connect", done_at=done_at)


def test_only_rows_older_than_the_setting_are_removed(tunnel):
    command(tunnel, OLD)
    recent, unfinished = command(tunnel, RECENT), command(tunnel, None)
    TunnelCommand.objects.update(requested_at=OLD)
    PeerProbe.objects.create(tunnel=tunnel, finished_at=OLD)

    remove_old_rows()

    assert set(TunnelCommand.objects.all()) == {recent, unfinished}
    assert not PeerProbe.objects.exists()


def test_the_setting_decides(tunnel, settings):
    settings.KEEP_DAYS = 30
    command(tunnel, NOW - timedelta(days=31))

    remove_old_rows()

    assert not TunnelCommand.objects.exists()


def test_many_rows_are_removed_in_steps(tunnel, monkeypatch):
    monkeypatch.setattr("vpnportal.maintenance.old_rows.ROWS_AT_ONCE", 3)
    for _ in range(10):
        command(tunnel, OLD)

    remove_old_rows()

    assert not TunnelCommand.objects.exists()


def test_a_session_goes_when_it_has_ended(db):
    for key, ends_at in (("ended", NOW - timedelta(seconds=1)), ("open", NOW + timedelta(days=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=ends_at)

    remove_old_rows()

    assert [row.session_key for row in Session.objects.all()] == ["open"]


def test_tunnels_and_the_whole_history_of_revisions_stay(ready, user):
    services.apply(ready, user)
    Revision.objects.update(created_at=OLD, finished_at=OLD, outcome="replaced")

    remove_old_rows()

    assert Revision.objects.count() == 1


def test_the_tasks_are_registered_under_the_names_of_the_schedule_and_of_the_requests():
    assert {*DAILY_TASKS, *MINUTE_TASKS, RUN_IMPORT, SEND_MAIL} <= app.tasks.keys()
