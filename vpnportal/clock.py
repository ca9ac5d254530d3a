"""Stored times: their age, also after the clock was set back, and their text for a reader."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.dateformat import format as date_format


def age_of(moment: datetime, now: datetime | None = None) -> timedelta:
    """Return the time between a stored moment and now, which is never negative.

    A moment in the future was stored before the clock was set back. The distance counts as
    the age, so a lock can expire before the clock reaches the moment.
    """
    return abs((now or timezone.now()) - moment)


def time_of_day(moment: datetime) -> str:
    """Return a time such as 10:03:12 CET, in the reader's zone; with its date unless today."""
    local = timezone.localtime(moment)
    today = local.date() == timezone.localdate()
    return date_format(local, "H:i:s T" if today else "j M Y, H:i:s T")
