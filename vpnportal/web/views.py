"""The page of one tunnel, its state, and Apply Configurations."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.services.history import newest
from vpnportal.web.answers import Request, partial, status_of
from vpnportal.web.looks import looks_of
from vpnportal.web.others import others
from vpnportal.web.panel import ENTRIES, is_editable, panel, problem_links, state_context
from vpnportal.web.table import Sheet
from vpnportal.web.trial import TrialForm
from vpnportal.web.typed_rows import Typed, changed_rows, kept_pairs, unsaved
from vpnportal.web.versions import seen_of

# What the pages show of the places a tunnel ends at, in the same query.
PLACES = ("concentrator__datacenter", "account")
# What `tunnel/_status.html` waits for.
STATE_CHANGED = "state-changed"


@require_safe
def tunnel(request: Request, pk: int) -> HttpResponse:
    """The panel itself: IPSec VPN Settings Summary."""
    visible = Tunnel.objects.visible_to(request.user).select_related(*PLACES, "traffic")
    return panel(request, get_object_or_404(visible, pk=pk))


@require_safe
def state(request: Request, pk: int) -> HttpResponse:
    """How the tunnel stands; 204 while the page that asks shows exactly that already."""
    visible = Tunnel.objects.visible_to(request.user).select_related("concentrator")
    tunnel = get_object_or_404(visible, pk=pk)
    shown = state_context(tunnel)
    if request.GET.get("seen") == shown["token"]:
        return HttpResponse(status=204)
    told = request.GET.get("said", "") != shown["state"].word
    editable = is_editable(request, tunnel)
    shown |= {"editable": editable, "entries": newest(tunnel, ENTRIES), "told": told}
    shown |= others(request, tunnel, editable)
    # The Status section follows at once: it must not say otherwise for the time of its own poll.
    answer = partial(request, "tunnel/_polled.html", shown)
    return trigger_client_event(answer, STATE_CHANGED)


@require_POST
def apply(request: Request, pk: int) -> HttpResponse:
    """Apply Configurations: a revision on its way, or what still is wrong.

    The rows of the translation table come along, so that one typed and not saved is not lost.
    """
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    changed, trial = changed_rows(kept_pairs(tunnel), request.POST), TrialForm(request.POST)
    try:
        if changed:
            raise Refused(*unsaved(changed))
        reviewed = seen_of(request.POST, "reviewed")
        revision = services.apply(tunnel, request.user, trial.trial(), reviewed)
    except Refused as refused:
        trial.explain(refused.problems)
        return _refuse(request, tunnel, changed, trial, refused)
    if request.htmx:
        shown = {**state_context(tunnel), "revision": revision, "trial": trial, "editable": True}
        return partial(request, "tunnel/_applied.html", shown)
    messages.success(request, f"Revision {revision.number} is on its way to the concentrator.")
    return redirect(reverse("tunnel", args=[pk]) + "#state")


def _refuse(
    request: Request,
    tunnel: Tunnel,
    changed: Mapping[str, Typed],
    trial: TrialForm,
    refused: Refused,
) -> HttpResponse:
    """Nothing was applied; a page without JavaScript is shown again with what was typed."""
    problems = problem_links(tunnel, refused.problems, changed)
    if request.htmx:
        shown = {**state_context(tunnel), "problems": problems, "trial": trial, "editable": True}
        return partial(request, "tunnel/_applied.html", shown, status_of(refused))
    sheet = Sheet(looks_of(request.POST), changed, refused)
    shown = {"problems": problems, "trial": trial, "stray": ()}
    return panel(request, tunnel, status_of(refused), sheet, **shown)
