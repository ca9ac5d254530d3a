"""Commands to a live tunnel: connect, disconnect, rekey, reconnect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import OK, HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.state_box import state_box_of

# The function of each command and its confirmation, by the value of its button.
COMMANDS: dict[str, tuple[Callable[[Tunnel, User], None], str]] = {
    "connect": (services.connect, "Connect submitted."),
    "disconnect": (services.disconnect, "Disconnect submitted."),
    "rekey": (services.rekey, "Rekey submitted."),
    "reconnect": (services.reconnect, "Reconnect submitted."),
}


@require_POST
def command(request: HtmxRequest, pk: int) -> HttpResponse:
    """Submit one command; the state box shows its result."""
    tunnel = editable_tunnel(request, pk)
    try:
        submit, confirmation = COMMANDS[request.POST.get("do", "")]
    except KeyError:
        raise BadRequest("There is no such command.") from None
    status, refusal = OK, ""
    try:
        submit(tunnel, request.user)
    except Refused as refused:
        status, refusal = status_of(refused), str(refused)
    return respond(
        request,
        fragment="tunnel/responses/command.html",
        context=lambda: _context(pk, refusal, refusal or confirmation),
        redirect_to=reverse("tunnel", args=[pk]) + "#state",
        full_page=(lambda: _page(request, tunnel, refusal, status)) if refusal else None,
        message=confirmation,
        status=status,
    )


def _context(pk: int, refusal: str, announcement: str) -> dict[str, object]:
    tunnel = Tunnel.objects.select_related("concentrator").get(pk=pk)
    return {
        "tunnel": tunnel,
        "editable": True,
        "state_box": state_box_of(tunnel),
        "command_refusal": refusal,
        "announcement": announcement,
    }


def _page(request: HtmxRequest, tunnel: Tunnel, refusal: str, status: int) -> HttpResponse:
    page = tunnel_page(request, tunnel)
    page = replace(page, command_refusal=refusal, has_unsaved_content=True)
    return render_tunnel_page(request, page, status)
