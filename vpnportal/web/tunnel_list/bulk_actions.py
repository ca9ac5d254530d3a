"""One thing done to several tunnels: to each by itself, and each says in words how it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.commands import COMMANDS
from vpnportal.web.tunnel.page import problem_links
from vpnportal.web.tunnel.translations.open_subnets import open_ids
from vpnportal.web.tunnel_list.filter_form import TunnelListFilter
from vpnportal.web.tunnel_list.rows import PER_PAGE

# Where the session keeps the results between the form's answer and the page after it.
RESULTS = "results of several"
BulkAction = Callable[[Tunnel, User], str]


def _apply(tunnel: Tunnel, author: User) -> str:
    revision = services.apply(tunnel, author)
    return f"Revision {revision.number} is on its way to the concentrator."


def _command(name: str) -> BulkAction:
    command, told = COMMANDS[name]

    def act(tunnel: Tunnel, author: User) -> str:
        command(tunnel, author)
        return told

    return act


# By the name of the button: what it says, and what it does.
BULK_ACTIONS: dict[str, tuple[str, BulkAction]] = {
    "apply": ("Apply Configurations", _apply),
    "connect": ("Connect", _command("connect")),
    "disconnect": ("Disconnect", _command("disconnect")),
}


@require_POST
def bulk_action(request: HtmxRequest) -> HttpResponse:
    """Do it to every selected tunnel; none that is refused stops the others."""
    wanted = TunnelListFilter(request.user, request.GET)
    back = wanted.url(page=request.GET.get("page"))
    try:
        label, act = BULK_ACTIONS[request.POST.get("do", "")]
    except KeyError:
        raise BadRequest("There is no such button.") from None
    pks = open_ids(request.POST.getlist("tunnel"))
    if not pks:
        messages.warning(request, "Nothing was done. Select at least one tunnel first.")
        return redirect(back)
    if len(pks) > PER_PAGE:
        raise BadRequest("These are more tunnels than a page shows.")
    chosen = Tunnel.objects.editable_by(request.user).filter(pk__in=pks).order_by("name")
    if len(chosen) != len(pks):
        raise Http404("One of these is no tunnel that this person may change.")
    results = [_done(tunnel, act, request.user) for tunnel in chosen]
    request.session[RESULTS] = {"label": label, "tunnels": results}
    return redirect(f"{back}#results")


def results_of(request: HtmxRequest) -> dict[str, Any] | None:
    """How the last one went, once: the page that shows it takes it away."""
    found = request.session.pop(RESULTS, None)
    if found:
        found["done"] = sum(one["done"] for one in found["tunnels"])
    return found


def _done(tunnel: Tunnel, act: BulkAction, author: User) -> dict[str, Any]:
    """What became of one: words, and for each problem the place where it is put right."""
    here = reverse("tunnel", args=[tunnel.pk])
    told = {"name": tunnel.name, "friendly_name": tunnel.friendly_name, "href": here}
    try:
        return {**told, "done": True, "text": act(tunnel, author)}
    except Refused as refused:
        links = problem_links(tunnel, refused.problems)
        for one in links:
            if one["href"].startswith("#"):
                one["href"] = here + one["href"]
        return {**told, "done": False, "problems": links}
