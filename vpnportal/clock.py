"""Ages of stored times, on machines whose clock can be set back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone


def age_of(moment: datetime, now: datetime | None = None) -> timedelta:
    """Return the time between a stored moment and now, which is never negative.

    A moment in the future was stored before the clock was set back. Its distance counts as its
    age: a lock or a status from then expires at once, not when the clock reaches the moment.
    """
    return abs((now or timezone.now()) - moment)
