"""The page of one tunnel, its state, and Apply Configurations."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from vpnportal.models import Tunnel
from vpnportal.services.history import newest
from vpnportal.web.responses import HtmxRequest, render_fragment
from vpnportal.web.tunnel.concurrent_edits import concurrent_edits
from vpnportal.web.tunnel.page import ENTRIES, is_editable, state_context

# What `tunnel/_status.html` waits for.
STATE_CHANGED = "state-changed"


@require_safe
def state(request: HtmxRequest, pk: int) -> HttpResponse:
    """How the tunnel stands; 204 while the page that asks shows exactly that already."""
    visible = Tunnel.objects.visible_to(request.user).select_related("concentrator")
    tunnel = get_object_or_404(visible, pk=pk)
    shown = state_context(tunnel)
    if request.GET.get("seen") == shown["token"]:
        return HttpResponse(status=204)
    told = request.GET.get("said", "") != shown["state"].label
    editable = is_editable(request, tunnel)
    shown |= {"editable": editable, "entries": newest(tunnel, ENTRIES), "told": told}
    shown |= concurrent_edits(request, tunnel, editable)
    # The Status section follows at once: it must not say otherwise for the time of its own poll.
    answer = render_fragment(request, "tunnel/responses/state_poll.html", shown)
    return trigger_client_event(answer, STATE_CHANGED)
