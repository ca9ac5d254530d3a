"""Times are told in the zone of the person who reads them, with the zone's name."""

from __future__ import annotations

from datetime import UTC, datetime

from django.urls import reverse

from tests.reading import read
from vpnportal.models import Profile, Revision


def test_every_time_of_a_page_is_in_its_readers_zone(page, user, ready):
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    revision = Revision.frozen(ready, ready.draft(), user)
    revision.outcome, revision.finished_at = Revision.Outcome.LIVE, at
    revision.steps = [{"at": at.isoformat(), "text": "Loaded", "ok": True}]
    revision.save()
    Profile.objects.create(user=user, time_zone="Asia/Tokyo")

    shown = read(page.get(reverse("tunnel", args=[ready.pk])))

    told = {time.text for time in shown.iter("time") if "2026-07" in time.get("datetime", "")}
    assert told == {"2 Jul 2026, 07:30:00 JST", "07:30:00"}
