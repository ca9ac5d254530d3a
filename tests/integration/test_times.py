"""Times are told in the zone of the person who reads them, with the zone's name."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.urls import reverse

from tests.html import read
from vpnportal.models import Concentrator, Profile, Revision


def test_every_time_of_a_page_is_in_its_readers_zone(page, user, ready):
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    revision = Revision.next_for(ready, ready.draft(), user)
    revision.outcome, revision.finished_at = Revision.Outcome.LIVE, at
    revision.steps = [{"at": at.isoformat(), "text": "Loaded", "ok": True}]
    revision.save()
    Profile.objects.create(user=user, time_zone="Asia/Tokyo")

    shown = read(page.get(reverse("tunnel", args=[ready.pk])))

    told = {time.text for time in shown.iter("time") if "2026-07" in time.get("datetime", "")}
    assert told == {"2 Jul 2026, 07:30:00 JST", "07:30:00"}


def test_the_operators_admin_tells_times_in_the_same_words(client, ready):
    operator = User.objects.create_superuser("otto")
    Profile.objects.create(user=operator, time_zone="Asia/Tokyo")
    Concentrator.objects.update(seen_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    client.force_login(operator)

    listed = read(client.get(reverse("admin:vpnportal_concentrator_changelist")))

    seen = [cell.text for cell in listed.iter("td") if "field-seen_at" in cell.get("class", "")]
    assert seen == ["2 Jul 2026, 07:30:00 JST"]
