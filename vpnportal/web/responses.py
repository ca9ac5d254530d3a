"""How a view answers: the request as it arrives here, and the status of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from vpnportal.models import Account
from vpnportal.services import EditConflict, Refused
from vpnportal.services.tunnel_lock import is_lock

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails

OK, CONFLICT, UNPROCESSABLE, LOCKED = 200, 409, 422, 423


class HtmxRequest(HttpRequest):
    """A signed-in person's request, after the middleware."""

    user: User
    htmx: HtmxDetails


def status_of(refused: Refused) -> int:
    """409 (RFC 9110) for what somebody else changed meanwhile, 422 for what is wrong in itself.

    423 (RFC 4918) while an apply locks the tunnel.
    """
    if isinstance(refused, EditConflict):
        return CONFLICT
    return LOCKED if is_lock(refused) else UNPROCESSABLE


def render_page(
    request: HtmxRequest, template: str, context: Mapping[str, Any], status: int = OK
) -> HttpResponse:
    """A whole page, with the names that its header shows."""
    return render(request, template, {**context, **header(request.user)}, status=status)


def header(user: User) -> dict[str, Any]:
    """What `base.html` shows of a person; their accounts are asked for once."""
    return {"accounts": list(Account.objects.visible_to(user).order_by("name"))}


def render_fragment(
    request: HtmxRequest, template: str, context: Mapping[str, Any], status: int = OK
) -> HttpResponse:
    """One element for htmx, perhaps with out-of-band ones after it."""
    return render(request, template, dict(context), status=status)
