"""Hosted and service subnets: attach one that is offered to the tunnel, detach one."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.page import networks, state_context, tunnel_page


@require_POST
def attach(request: HtmxRequest, pk: int) -> HttpResponse:
    """Let the tunnel reach one more; whose it is not finds nothing."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    number = request.POST.get("subnet", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("No subnet is named.")
    subnet = get_object_or_404(Subnet.objects.offered_to(tunnel), pk=int(number))
    try:
        services.attach_subnet(tunnel, subnet, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, subnet, refused)
    return _done(request, tunnel, subnet, f"{subnet} added.")


@require_POST
def detach(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """Let the tunnel reach one less."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    kinds = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)
    row = get_object_or_404(tunnel.subnets, pk=subnet, kind__in=kinds)
    try:
        services.detach_subnet(tunnel, row, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, row, refused)
    return _done(request, tunnel, row, f"{row} removed.")


def _done(request: HtmxRequest, tunnel: Tunnel, subnet: Subnet, told: str) -> HttpResponse:
    if not request.htmx:
        messages.success(request, told)
        return redirect(reverse("tunnel", args=[tunnel.pk]) + f"#{subnet.kind}_subnets")
    shown = {**state_context(tunnel), "part": networks(tunnel)[f"{subnet.kind}_subnets"]}
    return render_fragment(
        request,
        "tunnel/responses/hosted_subnets.html",
        {**shown, "editable": True, "told": told, "focus": True},
    )


def _refuse(request: HtmxRequest, tunnel: Tunnel, subnet: Subnet, refused: Refused) -> HttpResponse:
    part = {**networks(tunnel)[f"{subnet.kind}_subnets"], "wrong": str(refused)}
    if not request.htmx:
        return tunnel_page(request, tunnel, status_of(refused), **{f"{subnet.kind}_subnets": part})
    shown = {"tunnel": tunnel, "editable": True, "part": part, "told": str(refused)}
    return render_fragment(
        request, "tunnel/responses/hosted_subnets.html", shown, status_of(refused)
    )
