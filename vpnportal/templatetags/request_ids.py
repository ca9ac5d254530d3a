"""Template tag for the id of the request, also in error pages that have no context."""

from __future__ import annotations

from django import template

from vpnportal import request_context

register = template.Library()


@register.simple_tag
def request_id() -> str:
    """Return the id of the current request, or ""."""
    return request_context.current().request_id
