"""The networks at the customer's end: add one by IP address and CIDR, remove one."""

from __future__ import annotations

from ipaddress import IPv4Network

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.domain.spec import Problem
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web import typed
from vpnportal.web.answers import Request, partial, status_of
from vpnportal.web.panel import networks, panel, state_context


@require_POST
def add_remote_subnet(request: Request, pk: int) -> HttpResponse:
    """Protect one more network; what was typed stays when it is refused."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    ip, cidr = request.POST.get("ip", ""), request.POST.get("cidr", "")
    try:
        subnet = services.add_remote_subnet(tunnel, _network(ip, cidr), request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused, ip, cidr)
    return _done(request, tunnel, f"{subnet} added.")


@require_POST
def remove_remote_subnet(request: Request, pk: int, subnet: int) -> HttpResponse:
    """Stop protecting one network."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        services.remove_remote_subnet(tunnel, subnet, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    return _done(request, tunnel, "The subnet was removed.", gone=True)


def _network(ip: str, cidr: str) -> IPv4Network:
    try:
        return typed.subnet(ip, cidr)
    except ValueError as error:
        raise Refused(Problem("remote_subnets", str(error))) from None


def _done(request: Request, tunnel: Tunnel, told: str, gone: bool = False) -> HttpResponse:
    if not request.htmx:
        return redirect(reverse("tunnel", args=[tunnel.pk]) + "#remote_subnets")
    shown = {**state_context(tunnel), **networks(tunnel), "editable": True}
    return partial(request, "tunnel/_networked.html", {**shown, "told": told, "gone": gone})


def _refuse(
    request: Request, tunnel: Tunnel, refused: Refused, ip: str = "", cidr: str = ""
) -> HttpResponse:
    entered = {"ip": ip, "cidr": cidr, "wrong": str(refused)}
    if not request.htmx:
        return panel(request, tunnel, status_of(refused), entered=entered)
    shown = {"tunnel": tunnel, **networks(tunnel), "editable": True, "entered": entered}
    return partial(
        request, "tunnel/_networked.html", {**shown, "told": str(refused)}, status_of(refused)
    )
