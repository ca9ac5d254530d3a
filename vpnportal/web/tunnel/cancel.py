"""Deletion of a tunnel (the API calls it cancel), by an owner who types the tunnel's ID."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of
from vpnportal.web.tunnel.access import owned_tunnel, visible_tunnel


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@confirmed
def cancel(request: HtmxRequest, pk: int) -> HttpResponse:
    """Show the confirmation page, and delete the tunnel once its ID is typed."""
    tunnel = visible_tunnel(request, pk, "account", "concentrator")
    if tunnel.cancelled_at:
        messages.info(request, f"{tunnel.name} was deleted already.")
        return redirect("tunnel", pk=pk)
    owned_tunnel(request, pk)
    if request.method != "POST":
        return _cancel_page(request, tunnel)
    typed = request.POST.get("name", "")
    if typed.strip() != tunnel.name:
        problem = f"Enter {tunnel.name} exactly. Nothing was deleted."
        return _cancel_page(request, tunnel, typed, problem, UNPROCESSABLE)
    try:
        services.cancel(tunnel, request.user)
    except Refused as refused:
        return _cancel_page(request, tunnel, typed, str(refused), status_of(refused))
    text = f"{tunnel.name} was deleted."
    if tunnel.releases.open().exists():
        text += " The list shows it as being deleted until it is removed from its concentrator."
    messages.success(request, text)
    return redirect("tunnels")


def _cancel_page(
    request: HtmxRequest, tunnel: Tunnel, typed: str = "", problem: str = "", status: int = OK
) -> HttpResponse:
    context = {
        "tunnel": tunnel,
        "state": services.state_of(tunnel),
        "static_nat_subnets": tunnel.networks(Subnet.Kind.STATIC_NAT),
        "typed": typed,
        "problem": problem,
    }
    return render_page(request, "tunnel/cancel.html", context, status)
