"""The operators' choice for tunnels that gateways hold after a restore of the portal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.web.responses import HtmxRequest, render_page

# Each tunnel takes some 70 queries and 0.1 s, and a request must end within seconds. The command
# `held` has no limit.
MAX_PER_REQUEST = 50


@dataclass(frozen=True, slots=True)
class Side:
    """A side that operators can choose, with the texts of its confirmation page."""

    choose: Callable[[Iterable[int], User], list[services.Choice]]
    title: str
    effect: str
    button: str


SIDES = {
    "keep": Side(
        services.keep_gateways,
        "Keep all of the gateways' tunnels",
        "No gateway changes, and no packet is lost. The revision that a gateway runs becomes the "
        "live revision and the draft; the draft of the backup can be brought back with Undo. A "
        "tunnel that the backup does not have is created again. A removed tunnel is disconnected.",
        "Keep all of the gateways'",
    ),
    "replace": Side(
        services.take_backups,
        "Take all of the backup's tunnels",
        "Gateways change each tunnel to the revision in the backup, which can interrupt its "
        "traffic. A tunnel that the backup does not have is removed, and its settings are lost. A "
        "removed tunnel is loaded again.",
        "Take all of the backup's",
    ),
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def choose(request: HtmxRequest, side: str) -> HttpResponse:
    """Show the confirmation page for all held tunnels, and carry out the choice for the given ones.

    Raises Http404 if the user is no service operator.
    """
    if not request.user.is_staff or side not in SIDES:
        raise Http404("This page is for service operators.")
    chosen = SIDES[side]
    if request.method != "POST":
        held = services.held_tunnels()
        tunnel_ids = list(dict.fromkeys(summary.held.tunnel_id for summary in held))
        shown = tunnel_ids[:MAX_PER_REQUEST]
        context = {
            "side": side,
            "chosen": chosen,
            "held": [summary for summary in held if summary.held.tunnel_id in shown],
            "others": len(tunnel_ids) - len(shown),
            "tunnels": ",".join(map(str, shown)),
        }
        return render_page(request, "concentrators/choose_side.html", context)
    tunnel_ids = _tunnel_ids(request.POST.get("tunnels", ""))
    if not tunnel_ids:
        messages.error(request, "No tunnel was chosen. Nothing was changed.")
    choices = chosen.choose(tunnel_ids, request.user)
    for choice in choices:
        if choice.problem:
            messages.error(request, f"{choice.tunnel}: {choice.problem}")
    if done := [choice.tunnel for choice in choices if not choice.problem]:
        messages.success(request, f"{chosen.button}: {', '.join(done)}.")
    return redirect("concentrators")


def _tunnel_ids(text: str) -> list[int]:
    """Return the ids in a form field such as `7,12`, at most those of one request."""
    numbers = [part for part in text.split(",") if part.isascii() and part.isdigit()]
    return [int(part) for part in numbers if len(part) <= 18][:MAX_PER_REQUEST]
