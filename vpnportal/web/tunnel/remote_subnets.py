"""The networks at the customer's end: add one by IP address and CIDR, remove one."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.domain.tunnel.spec import Problem, Translation
from vpnportal.models import Tunnel
from vpnportal.services import Refused, input_parsing
from vpnportal.web.responses import HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.page import networks, state_context, tunnel_page

# So many translations that lead nowhere are named.
LISTED = 5


@require_POST
def add_remote_subnet(request: HtmxRequest, pk: int) -> HttpResponse:
    """Protect one more network; what was typed stays when it is refused."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    ip, cidr = request.POST.get("ip", ""), request.POST.get("cidr", "")
    try:
        subnet = services.add_remote_subnet(tunnel, _network(*_entry(request)), request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused, ip, cidr)
    return _done(request, tunnel, f"{subnet} added.")


@require_POST
def remove_remote_subnet(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """Stop protecting one network."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        stranded = services.remove_remote_subnet(tunnel, subnet, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    return _done(request, tunnel, _removed(stranded), gone=True, stranded=bool(stranded))


def _removed(stranded: tuple[Translation, ...]) -> str:
    if not stranded:
        return "The subnet was removed."
    listed = ", ".join(f"{row.internal} → {row.customer}" for row in stranded[:LISTED])
    more = f" and {len(stranded) - LISTED} more" if len(stranded) > LISTED else ""
    return (
        f"The subnet was removed. These translations lead nowhere now: {listed}{more}. Change them,"
        " or add a network that holds them, before Apply Configurations."
    )


def _entry(request: HtmxRequest) -> tuple[str, str]:
    """What was typed, or the network that was meant, taken over by its button."""
    if meant := request.POST.get("meant", ""):
        return meant, ""
    return request.POST.get("ip", ""), request.POST.get("cidr", "")


def _network(ip: str, cidr: str) -> IPv4Network:
    try:
        return input_parsing.subnet(ip, cidr)
    except ValueError as error:
        raise Refused(Problem("remote_subnets", str(error))) from error


def _done(
    request: HtmxRequest, tunnel: Tunnel, told: str, gone: bool = False, stranded: bool = False
) -> HttpResponse:
    if not request.htmx:
        if stranded:
            messages.warning(request, told)
        return redirect(reverse("tunnel", args=[tunnel.pk]) + "#remote_subnets")
    shown = {**state_context(tunnel), **networks(tunnel), "editable": True}
    shown |= {"told": told, "gone": gone, "stranded": stranded}
    return render_fragment(request, "tunnel/responses/remote_subnets.html", shown)


def _refuse(
    request: HtmxRequest, tunnel: Tunnel, refused: Refused, ip: str = "", cidr: str = ""
) -> HttpResponse:
    meant = getattr(refused.__cause__, "meant", None)
    entered = {"ip": ip, "cidr": cidr, "wrong": str(refused), "meant": meant}
    if not request.htmx:
        return tunnel_page(request, tunnel, status_of(refused), entered=entered)
    shown = {"tunnel": tunnel, **networks(tunnel), "editable": True, "entered": entered}
    return render_fragment(
        request,
        "tunnel/responses/remote_subnets.html",
        {**shown, "told": str(refused)},
        status_of(refused),
    )
