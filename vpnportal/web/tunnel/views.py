"""The page of one tunnel, its state, and Apply Configurations."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from vpnportal.models import Tunnel
from vpnportal.web.responses import Request
from vpnportal.web.tunnel.page import panel

# What the pages show of the places a tunnel ends at, in the same query.
PLACES = ("concentrator__datacenter", "account")


@require_safe
def tunnel(request: Request, pk: int) -> HttpResponse:
    """The panel itself: IPSec VPN Settings Summary."""
    visible = Tunnel.objects.visible_to(request.user).select_related(*PLACES, "traffic")
    return panel(request, get_object_or_404(visible, pk=pk))
