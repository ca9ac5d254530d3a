"""HTTP responses of the pages: whole pages, htmx fragments, and the status codes of refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from vpnportal.models import Account
from vpnportal.services import EditConflict, Refused, TunnelLocked

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from django_htmx.middleware import HtmxDetails

OK, CONFLICT, UNPROCESSABLE, LOCKED = 200, 409, 422, 423


class HtmxRequest(HttpRequest):
    """A request of a signed-in user, after `HtmxMiddleware`."""

    user: User
    htmx: HtmxDetails


def status_of(refused: Refused) -> int:
    """Return the status code of a refusal.

    409 (RFC 9110) for an edit conflict, 423 (RFC 4918) while an apply locks the tunnel,
    422 (RFC 9110) for everything else.
    """
    if isinstance(refused, EditConflict):
        return CONFLICT
    return LOCKED if isinstance(refused, TunnelLocked) else UNPROCESSABLE


def respond(
    request: HtmxRequest,
    *,
    fragment: str,
    context: Callable[[], Mapping[str, object]],
    redirect_to: str = "",
    full_page: Callable[[], HttpResponse] | None = None,
    status: int = OK,
    message: str = "",
    level: int = messages.SUCCESS,
) -> HttpResponse:
    """Return `fragment` to htmx, and `full_page` or else a redirect to other browsers.

    After a success a browser without JavaScript follows the redirect and then shows `message`.
    After a refusal it gets `full_page`, so that the typed values stay. Only one of `context` and
    `full_page` is called.
    """
    if request.htmx:
        return render_fragment(request, fragment, context(), status)
    if full_page is not None:
        return full_page()
    if message:
        messages.add_message(request, level, message)
    return redirect(redirect_to)


def render_page(
    request: HtmxRequest, template: str, context: Mapping[str, Any], status: int = OK
) -> HttpResponse:
    """Render a whole page; its context includes the accounts for the header in `base.html`."""
    return render(request, template, {**context, **header(request.user)}, status=status)


def header(user: User) -> dict[str, Any]:
    """Return the context of the header in `base.html`; one query."""
    return {"accounts": list(Account.objects.visible_to(user).order_by("name"))}


def render_fragment(
    request: HtmxRequest, template: str, context: Mapping[str, Any], status: int = OK
) -> HttpResponse:
    """Render one element for htmx, and out-of-band elements after it if the template has any."""
    return render(request, template, dict(context), status=status)


def context_of(value: DataclassInstance) -> dict[str, object]:
    """Return the fields of a dataclass instance by name, as a template context; not recursive."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
