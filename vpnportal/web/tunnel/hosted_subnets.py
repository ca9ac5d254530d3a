"""Views that add a hosted or service subnet to a tunnel, or remove one."""

from __future__ import annotations

from dataclasses import replace

from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.state_box import state_box_of
from vpnportal.web.tunnel.subnet_sections import (
    HostedSubnetsSection,
    SubnetSections,
    subnet_sections,
)


@require_POST
def attach(request: HtmxRequest, pk: int) -> HttpResponse:
    """Add a hosted or service subnet to the tunnel.

    Raises Http404 if the subnet is not offered to the account and data center of the tunnel.
    """
    tunnel = editable_tunnel(request, pk)
    number = request.POST.get("subnet", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("No subnet is named.")
    subnet = get_object_or_404(Subnet.objects.offered_to(tunnel), pk=int(number))
    try:
        services.attach_subnet(tunnel, subnet, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, subnet, refused)
    return _confirm(request, tunnel, subnet, f"{subnet} added.")


@require_POST
def detach(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """Remove a hosted or service subnet from the tunnel."""
    tunnel = editable_tunnel(request, pk)
    kinds = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)
    row = get_object_or_404(tunnel.subnets, pk=subnet, kind__in=kinds)
    try:
        services.detach_subnet(tunnel, row, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, row, refused)
    return _confirm(request, tunnel, row, f"{row} removed.")


def _confirm(request: HtmxRequest, tunnel: Tunnel, subnet: Subnet, message: str) -> HttpResponse:
    return respond(
        request,
        fragment="tunnel/responses/hosted_subnets.html",
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box_of(tunnel),
            "section": subnet_sections(tunnel).of_kind(subnet.kind),
            "takes_focus": True,
            "announcement": message,
        },
        redirect_to=reverse("tunnel", args=[tunnel.pk]) + f"#{subnet.kind}_subnets",
        message=message,
    )


def _refuse(request: HtmxRequest, tunnel: Tunnel, subnet: Subnet, refused: Refused) -> HttpResponse:
    status = status_of(refused)

    def section(sections: SubnetSections) -> HostedSubnetsSection:
        return replace(sections.of_kind(subnet.kind), refusal=str(refused))

    def full_page() -> HttpResponse:
        page = tunnel_page(request, tunnel)
        sections = page.subnets.with_section(section(page.subnets))
        page = replace(page, subnets=sections, has_unsaved_content=True)
        return render_tunnel_page(request, page, status)

    return respond(
        request,
        fragment="tunnel/responses/hosted_subnets.html",
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "section": section(subnet_sections(tunnel)),
            "announcement": str(refused),
        },
        full_page=full_page,
        status=status,
    )
