"""The buttons that act on what runs: connect, disconnect, rekey, reconnect."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import OK, HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.page import state_context, tunnel_page

COMMANDS: dict[str, tuple[Callable[[Tunnel, User], None], str]] = {
    "connect": (services.connect, "The concentrator is told to connect it."),
    "disconnect": (services.disconnect, "The concentrator is told to disconnect it."),
    "rekey": (services.rekey, "The concentrator is told to renew the keys."),
    "reconnect": (services.reconnect, "The concentrator is told to negotiate anew."),
}


@require_POST
def command(request: HtmxRequest, pk: int) -> HttpResponse:
    """Do one of them; the state tells what came of it."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        act, told = COMMANDS[request.POST.get("do", "")]
    except KeyError:
        raise BadRequest("There is no such command.") from None
    status, refusal = OK, ""
    try:
        act(tunnel, request.user)
    except Refused as refused:
        status, refusal = status_of(refused), str(refused)
    if request.htmx:
        tunnel = Tunnel.objects.select_related("concentrator").get(pk=pk)
        shown = {**state_context(tunnel), "editable": True, "command_refused": refusal}
        shown["told_command"] = refusal or told
        return render_fragment(request, "tunnel/responses/command.html", shown, status)
    if refusal:
        return tunnel_page(request, tunnel, status, command_refused=refusal)
    messages.success(request, told)
    return redirect(reverse("tunnel", args=[pk]) + "#state")
