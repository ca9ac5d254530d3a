"""Template filter for the slug of a state label, which is its CSS class and its kind of icon."""

from __future__ import annotations

from django import template
from django.utils.text import slugify

from vpnportal.services import STATE_SLUGS

register = template.Library()


@register.filter
def state_slug(label: str) -> str:
    """Return the slug of a state label, such as "partly-up" for "Degraded"."""
    return STATE_SLUGS.get(str(label)) or slugify(label)
