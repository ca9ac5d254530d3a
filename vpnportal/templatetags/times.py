"""Times that were written down as text, and times that are still to come."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.timesince import timeuntil

register = template.Library()


@register.filter
def moment(text: str) -> datetime:
    """The time that a step's `at` (ISO 8601, with its offset) tells."""
    return datetime.fromisoformat(text)


@register.filter
def due(at: datetime) -> str:
    """When something is to happen: in 23 minutes, within a minute, or due."""
    now = timezone.now()
    if at <= now:
        return "due"
    return f"in {timeuntil(at, now)}" if at - now >= timedelta(minutes=1) else "within a minute"
