"""The list of tunnels, the page of one, its state, and Apply Configurations."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.answers import Request, page, partial, status_of
from vpnportal.web.panel import panel, problem_links, state_context

# What the pages show of the places a tunnel ends at, in the same query.
PLACES = ("concentrator__datacenter", "account")


@require_safe
def tunnels(request: Request) -> HttpResponse:
    """Every tunnel of the person's accounts, with how it stands."""
    rows = Tunnel.objects.visible_to(request.user).select_related(*PLACES).order_by("name")
    states = services.states_of(rows)
    shown = [{"tunnel": tunnel, "state": states[tunnel.pk]} for tunnel in rows]
    return page(request, "tunnel/list.html", {"rows": shown})


@require_safe
def tunnel(request: Request, pk: int) -> HttpResponse:
    """The panel itself: IPSec VPN Settings Summary."""
    visible = Tunnel.objects.visible_to(request.user).select_related(*PLACES)
    return panel(request, get_object_or_404(visible, pk=pk))


@require_safe
def state(request: Request, pk: int) -> HttpResponse:
    """How the tunnel stands; 204 while the page that asks shows exactly that already."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    shown = state_context(tunnel)
    if request.GET.get("seen") == shown["token"]:
        return HttpResponse(status=204)
    told = request.GET.get("said", "") != shown["state"].word
    return partial(request, "tunnel/_polled.html", {**shown, "told": told})


@require_POST
def apply(request: Request, pk: int) -> HttpResponse:
    """Apply Configurations: a revision on its way, or what still is wrong."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        revision = services.apply(tunnel, request.user)
    except Refused as refused:
        problems = problem_links(tunnel, refused.problems)
        if not request.htmx:
            return panel(request, tunnel, status_of(refused), problems=problems)
        shown = {"tunnel": tunnel, "problems": problems}
        return partial(request, "tunnel/_applied.html", shown, status_of(refused))
    if request.htmx:
        shown = {**state_context(tunnel), "revision": revision}
        return partial(request, "tunnel/_applied.html", shown)
    messages.success(request, f"Revision {revision.number} is on its way to the concentrator.")
    return redirect("tunnel", pk)
