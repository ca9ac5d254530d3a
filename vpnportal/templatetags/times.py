"""Times that were written down as text, for the filters that show times."""

from __future__ import annotations

from datetime import datetime

from django import template

register = template.Library()


@register.filter
def moment(text: str) -> datetime:
    """The time that a step's `at` (ISO 8601, with its offset) tells."""
    return datetime.fromisoformat(text)
