"""Rotation of the preshared key on a tunnel's page: begin, end and cancel, for owners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Revision, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, status_of
from vpnportal.web.tunnel.access import owned_tunnel
from vpnportal.web.tunnel.apply import outcome_text
from vpnportal.web.tunnel.outcome_wait import wait_for_outcome
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page


@require_POST
@never_cache
def begin(request: HtmxRequest, pk: int) -> HttpResponse:
    """Let the concentrator accept the key of the draft beside the key of the live revision."""
    tunnel = owned_tunnel(request, pk)
    typed = request.POST.get("rotation_days", "")

    def act() -> Revision:
        try:
            days = services.parse_rotation_days(typed)
        except ValueError as error:
            raise Refused(Problem("rotation_days", str(error))) from None
        return services.begin_rotation(tunnel, days, request.user)

    return _answer(request, tunnel, act, "The concentrator accepts both keys.", typed)


@require_POST
@never_cache
def end(request: HtmxRequest, pk: int) -> HttpResponse:
    """Remove the old key. The form asks for a confirmation if the peer may have that."""
    tunnel = owned_tunnel(request, pk)
    confirmed = request.POST.get("confirm_end") == "on"
    return _answer(
        request,
        tunnel,
        lambda: services.end_rotation(tunnel, request.user, confirmed),
        "The old key was removed.",
    )


@require_POST
@never_cache
def cancel(request: HtmxRequest, pk: int) -> HttpResponse:
    """Remove the new key, from the draft too."""
    tunnel = owned_tunnel(request, pk)
    return _answer(
        request,
        tunnel,
        lambda: services.cancel_rotation(tunnel, request.user),
        "The new key was removed.",
    )


def _answer(
    request: HtmxRequest,
    tunnel: Tunnel,
    act: Callable[[], Revision],
    done: str,
    rotation_days: str = "",
) -> HttpResponse:
    """Queue a revision, and redirect to the page with its outcome, or show why it is refused."""
    try:
        revision = wait_for_outcome(act())
    except Refused as refused:
        page = tunnel_page(request, tunnel)
        section = replace(page.preshared_key, refusal=str(refused))
        if rotation_days:
            section = replace(section, rotation_days=rotation_days)
        page = replace(page, preshared_key=section, has_unsaved_content=True)
        return render_tunnel_page(request, page, status_of(refused))
    if revision.outcome == Revision.Outcome.FAILED:
        messages.error(request, outcome_text(revision))
    else:
        text = outcome_text(revision)
        messages.success(request, text if revision.unfinished else f"{done} {text}")
    return redirect(reverse("tunnel", args=[tunnel.pk]) + "#phase_one")
