"""The page of one tunnel, its state, and Apply Configurations."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from vpnportal.models import Tunnel
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.page import tunnel_page

# What the pages show of the places a tunnel ends at, in the same query.
PLACES = ("concentrator__datacenter", "account")


@require_safe
def tunnel(request: HtmxRequest, pk: int) -> HttpResponse:
    """The panel itself: IPSec VPN Settings Summary."""
    visible = Tunnel.objects.visible_to(request.user).select_related(*PLACES, "traffic")
    return tunnel_page(request, get_object_or_404(visible, pk=pk))
