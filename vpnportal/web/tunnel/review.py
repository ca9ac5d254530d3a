"""Discard changes, put one back, and undo either: each asks for the page as it was seen."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal.domain.tunnel.spec_diff import Change
from vpnportal.models import Tunnel
from vpnportal.services import Refused, restore_draft
from vpnportal.services.restore_draft import Replaced
from vpnportal.web.responses import HtmxRequest, status_of
from vpnportal.web.tunnel.draft_version import seen_of
from vpnportal.web.tunnel.page import problem_links, tunnel_page

# Of many changes the first are named.
MOST_NAMED = 6
NOTHING = "Nothing was changed: everything is as it is applied already."


@require_POST
def discard(request: HtmxRequest, pk: int) -> HttpResponse:
    """The draft becomes what is applied again."""
    seen = seen_of(request.POST)
    return _replace(
        request, pk, "Discarded", lambda tunnel: restore_draft.discard(tunnel, request.user, seen)
    )


@require_POST
def revert(request: HtmxRequest, pk: int) -> HttpResponse:
    """One change is discarded."""
    field, seen = request.POST.get("field", ""), seen_of(request.POST)
    return _replace(
        request,
        pk,
        "Put back",
        lambda tunnel: restore_draft.revert_field(tunnel, field, request.user, seen),
    )


@require_POST
def undo(request: HtmxRequest, pk: int) -> HttpResponse:
    """The draft is what it was before it was discarded or restored over."""
    return _replace(
        request, pk, "Brought back", lambda tunnel: restore_draft.undo(tunnel, request.user)
    )


def _replace(
    request: HtmxRequest, pk: int, done: str, act: Callable[[Tunnel], Replaced]
) -> HttpResponse:
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        replaced = act(tunnel)
    except Refused as refused:
        problems = problem_links(tunnel, refused.problems)
        return tunnel_page(request, tunnel, status_of(refused), problems=problems, kept=True)
    tell(request, done, replaced)
    return redirect(reverse("tunnel", args=[pk]) + "#review")


def tell(request: HtmxRequest, done: str, replaced: Replaced) -> None:
    """What was done to the draft, and what of it could not be."""
    if replaced.changes:
        messages.success(
            request, f"{done}: {_named(replaced.changes)}. Nothing is applied by that."
        )
    else:
        messages.success(request, NOTHING)
    for text in replaced.left_out[:MOST_NAMED]:
        messages.warning(request, f"Left out: {text}.")


def _named(changes: tuple[Change, ...]) -> str:
    told = [
        f"{one.label} ({one.before or 'nothing'})" if one.field != "preshared_key" else one.label
        for one in changes[:MOST_NAMED]
    ]
    more = len(changes) - MOST_NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")
