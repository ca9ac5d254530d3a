"""Cancel a tunnel: for the owners of its account, who type its name."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HtmxRequest, pk: int) -> HttpResponse:
    """The device name is typed to confirm; then the concentrator is asked to let go."""
    visible = Tunnel.objects.visible_to(request.user)
    tunnel = get_object_or_404(visible.select_related("account", "concentrator"), pk=pk)
    if tunnel.cancelled_at:
        messages.info(request, f"{tunnel.name} was cancelled already.")
        return redirect("tunnel", pk=pk)
    get_object_or_404(Tunnel.objects.owned_by(request.user), pk=pk)
    if request.method != "POST":
        return _cancel_page(request, tunnel)
    typed = request.POST.get("name", "")
    if typed.strip() != tunnel.name:
        wrong = f"Enter {tunnel.name}, exactly so. Nothing was cancelled."
        return _cancel_page(request, tunnel, typed, wrong, UNPROCESSABLE)
    try:
        services.cancel(tunnel, request.user)
    except Refused as refused:
        return _cancel_page(request, tunnel, typed, str(refused), status_of(refused))
    told = f"{tunnel.name} was cancelled."
    if tunnel.releases.open().exists():
        told += " The list shows it as being cancelled until its concentrator has let go of it."
    messages.success(request, told)
    return redirect("tunnels")


def _cancel_page(
    request: HtmxRequest, tunnel: Tunnel, typed: str = "", wrong: str = "", status: int = OK
) -> HttpResponse:
    blocks = tunnel.networks(Subnet.Kind.STATIC_NAT)
    shown = {
        "tunnel": tunnel,
        "state": services.state_of(tunnel),
        "blocks": blocks,
        "typed": typed,
        "wrong": wrong,
    }
    return render_page(request, "tunnel/cancel.html", shown, status)
