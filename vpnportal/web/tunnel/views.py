"""The page of one tunnel: IPSec VPN Settings Summary."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.access import visible_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page

# Rows that the pages of a tunnel show, read in the tunnel's own query.
RELATED = ("concentrator__datacenter", "account")


@require_safe
def tunnel(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the page of one tunnel."""
    tunnel = visible_tunnel(request, pk, *RELATED, "traffic")
    return render_tunnel_page(request, tunnel_page(request, tunnel))
