"""Remote subnets: add one by IP address and CIDR, remove one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.domain.addresses import HostBitsSet
from vpnportal.domain.tunnel.spec import Problem, Translation
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.state_box import state_box_of
from vpnportal.web.tunnel.subnet_sections import RemoteSubnetEntry, subnet_sections

# A message names a few of the translations without a remote subnet: there may be thousands.
MAX_LISTED = 5


@require_POST
def add_remote_subnet(request: HtmxRequest, pk: int) -> HttpResponse:
    """Add a remote subnet; after a refusal the typed values stay on the page."""
    tunnel = editable_tunnel(request, pk)
    ip, cidr = request.POST.get("ip", ""), request.POST.get("cidr", "")
    try:
        subnet = services.add_remote_subnet(tunnel, _network(request, ip, cidr), request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused, ip, cidr)
    return _confirm(request, tunnel, announcement=f"{subnet} added.")


@require_POST
def remove_remote_subnet(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """Remove a remote subnet, and warn about translations without a matching subnet."""
    tunnel = editable_tunnel(request, pk)
    try:
        unmatched = services.remove_remote_subnet(tunnel, subnet, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    return _confirm(
        request,
        tunnel,
        announcement="The subnet was removed.",
        warning=_warning(unmatched) if unmatched else "",
        takes_focus=True,
    )


def _network(request: HtmxRequest, ip: str, cidr: str) -> IPv4Network:
    """Return the typed network, or the suggested network if the user pressed its button.

    Raises Refused if the text is not a network. A HostBitsSet cause has the suggested network.
    """
    if suggestion := request.POST.get("meant", ""):
        ip, cidr = suggestion, ""
    try:
        return services.parse_subnet(ip, cidr)
    except ValueError as error:
        raise Refused(Problem("remote_subnets", str(error))) from error


def _warning(unmatched: tuple[Translation, ...]) -> str:
    listed = ", ".join(f"{row.internal} → {row.customer}" for row in unmatched[:MAX_LISTED])
    more = f" and {len(unmatched) - MAX_LISTED} more" if len(unmatched) > MAX_LISTED else ""
    return (
        "The subnet was removed. These translations have no matching remote subnet: "
        f"{listed}{more}. Change them, or add a remote subnet, before Apply Configurations."
    )


def _confirm(
    request: HtmxRequest,
    tunnel: Tunnel,
    *,
    announcement: str,
    warning: str = "",
    takes_focus: bool = False,
) -> HttpResponse:
    return respond(
        request,
        fragment="tunnel/responses/remote_subnets.html",
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box_of(tunnel),
            "section": subnet_sections(tunnel).remote,
            "is_saved": True,
            "takes_focus": takes_focus,
            "warning": warning,
            "announcement": warning or announcement,
        },
        redirect_to=reverse("tunnel", args=[tunnel.pk]) + "#remote_subnets",
        message=warning,
        level=messages.WARNING,
    )


def _refuse(
    request: HtmxRequest, tunnel: Tunnel, refused: Refused, ip: str = "", cidr: str = ""
) -> HttpResponse:
    status = status_of(refused)
    cause = refused.__cause__
    suggestion = str(cause.network) if isinstance(cause, HostBitsSet) else ""
    entry = RemoteSubnetEntry(ip, cidr, str(refused), suggestion)

    def full_page() -> HttpResponse:
        page = tunnel_page(request, tunnel)
        remote = replace(page.subnets.remote, entry=entry)
        subnets = replace(page.subnets, remote=remote)
        page = replace(page, subnets=subnets, has_unsaved_content=True)
        return render_tunnel_page(request, page, status)

    return respond(
        request,
        fragment="tunnel/responses/remote_subnets.html",
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "section": replace(subnet_sections(tunnel).remote, entry=entry),
            "announcement": str(refused),
        },
        full_page=full_page,
        status=status,
    )
