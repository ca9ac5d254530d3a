"""Template filters for stored times (ISO 8601 text), ages, and times in the future."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.timesince import timeuntil

from vpnportal.clock import age_of

register = template.Library()

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@register.filter
def moment(text: str) -> datetime:
    """Return the time of a step's `at` (ISO 8601, with its offset)."""
    return datetime.fromisoformat(text)


@register.filter
def time_left(at: datetime) -> str:
    """Return the time until `at`: "23 minutes", "less than a minute", or "due" once it has come."""
    now = timezone.now()
    if at <= now:
        return "due"
    return timeuntil(at, now) if at - now >= timedelta(minutes=1) else "less than a minute"


@register.filter
def short_age(at: datetime) -> str:
    """Return the age of a time in its two largest units: "12 min", "3 h 5 min", "2 d 4 h"."""
    seconds = int(age_of(at).total_seconds())
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 min"
