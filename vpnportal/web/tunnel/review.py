"""Review of pending changes: discard all, revert one, undo either.

Discard and revert check the version of the draft that the user saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.domain.tunnel.spec_diff import Change
from vpnportal.models import Tunnel
from vpnportal.services import KEY_FIELD, Refused, Replaced
from vpnportal.web.responses import HtmxRequest, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.draft_version import seen_of
from vpnportal.web.tunnel.page import problem_links, render_tunnel_page, tunnel_page

# A message names the first changes: there may be thousands of translations.
MAX_NAMED = 6
NO_VALUE = "\N{EN DASH}"
NO_CHANGES = "No changes: the draft has these values already."


@require_POST
def discard(request: HtmxRequest, pk: int) -> HttpResponse:
    """Reset the draft to the applied revision."""
    version = seen_of(request.POST)
    return _replace_draft(
        request, pk, "Discarded", lambda tunnel: services.discard(tunnel, request.user, version)
    )


@require_POST
def revert(request: HtmxRequest, pk: int) -> HttpResponse:
    """Reset one field of the draft to the applied revision."""
    field, version = request.POST.get("field", ""), seen_of(request.POST)
    return _replace_draft(
        request,
        pk,
        "Reverted",
        lambda tunnel: services.revert_field(tunnel, field, request.user, version),
    )


@require_POST
def undo(request: HtmxRequest, pk: int) -> HttpResponse:
    """Bring back the draft as it was before it was discarded, reverted or restored."""
    return _replace_draft(request, pk, "Undone", lambda tunnel: services.undo(tunnel, request.user))


def _replace_draft(
    request: HtmxRequest, pk: int, done: str, act: Callable[[Tunnel], Replaced]
) -> HttpResponse:
    tunnel = editable_tunnel(request, pk)
    try:
        replaced = act(tunnel)
    except Refused as refused:
        page = tunnel_page(request, tunnel)
        problems = problem_links(tunnel, refused.problems)
        page = replace(page, problems=problems, has_unsaved_content=True)
        return render_tunnel_page(request, page, status_of(refused))
    add_messages(request, done, replaced)
    return redirect(reverse("tunnel", args=[pk]) + "#review")


def add_messages(request: HtmxRequest, done: str, replaced: Replaced) -> None:
    """Queue messages about the changes of the draft, and about values that were not restored."""
    if replaced.changes:
        text = f"{done}: {_named(replaced.changes)}. Nothing is applied yet."
        messages.success(request, text)
    else:
        messages.success(request, NO_CHANGES)
    for text in replaced.left_out[:MAX_NAMED]:
        messages.warning(request, f"Left out: {text}.")


def _named(changes: tuple[Change, ...]) -> str:
    names = [
        change.label
        if change.field == KEY_FIELD
        else f"{change.label} ({change.before or NO_VALUE})"
        for change in changes[:MAX_NAMED]
    ]
    more = len(changes) - MAX_NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
