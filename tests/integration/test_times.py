"""Pages show times in the time zone of the user, with the name of the zone."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.urls import reverse

from tests.html import read
from vpnportal.models import Concentrator, Profile, Revision


def test_every_time_of_a_page_is_in_the_users_zone(page, user, ready):
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    revision = Revision.next_for(ready, ready.draft(), user)
    revision.outcome, revision.finished_at = Revision.Outcome.LIVE, at
    revision.steps = [{"at": at.isoformat(), "text": "Loaded", "ok": True}]
    revision.save()
    Profile.objects.create(user=user, time_zone="Asia/Tokyo")

    elements = read(page.get(reverse("tunnel", args=[ready.pk]))).iter("time")

    times = {time.text for time in elements if "2026-07" in time.get("datetime", "")}
    assert times == {"2 Jul 2026, 07:30:00 JST", "07:30:00"}


def test_the_administration_shows_times_in_the_same_format(client, ready):
    operator = User.objects.create_superuser("otto")
    Profile.objects.create(user=operator, time_zone="Asia/Tokyo")
    Concentrator.objects.update(seen_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    client.force_login(operator)

    changelist = read(client.get(reverse("admin:vpnportal_concentrator_changelist")))

    times = [
        cell.text for cell in changelist.iter("td") if "field-seen_at" in cell.get("class", "")
    ]
    assert times == ["2 Jul 2026, 07:30:00 JST"]
