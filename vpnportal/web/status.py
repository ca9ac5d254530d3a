"""The Status section by itself, for pages that are open: cheap, however many people watch.

Nobody who looks causes a look: what is shown is in the database, where the concentrator's watch
wrote it. A poll is two queries while nothing changed; a change is rendered once in this process
for all who read times in the same zone.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from vpnportal.domain.traffic import minute_of
from vpnportal.models import Revision, Tunnel
from vpnportal.services import State, state_of
from vpnportal.web.answers import Request
from vpnportal.web.standing import standing

# Whatever is shown is at most a minute old, as the token has the minute in it.
KEPT_SECONDS = 60
# Large, and not what the token is made from.
UNREAD = ("traffic__lines", "traffic__pairs", "traffic__minutes")


@require_safe
def status(request: Request, pk: int) -> HttpResponse:
    """The section; 204 while the page that asks shows exactly that already."""
    visible = Tunnel.objects.visible_to(request.user).select_related("traffic", "concentrator")
    tunnel = get_object_or_404(visible.defer(*UNREAD), pk=pk)
    if not request.htmx:
        return redirect(reverse("tunnel", args=[pk]) + "#status")
    token = _token(tunnel, _live(tunnel))
    if request.GET.get("seen") == token:
        return HttpResponse(status=204)
    return HttpResponse(_section(pk, token))


def shown(tunnel: Tunnel, state: State) -> dict[str, Any]:
    """What the section shows, and the token that tells it from what it shows later."""
    return {"token": _token(tunnel, state.live), **standing(tunnel, state)}


def _live(tunnel: Tunnel) -> Revision | None:
    rows = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).select_related("concentrator")
    return rows.defer("specification", "steps").first()


def _token(tunnel: Tunnel, live: Revision | None) -> str:
    """The same while the section would look the same; from columns alone.

    Times are told as "in 23 minutes" and the chart moves on, so a new minute is a change.
    """
    place = live.concentrator if live else tunnel.concentrator
    traffic = getattr(tunnel, "traffic", None)
    told = (
        minute_of(timezone.now()),
        (live.pk, live.created_at) if live else None,
        (place.pk, place.in_sight(), place.unreachable_reason, place.watched),
        traffic.taken_at if traffic else None,
        tunnel.association,
        tunnel.held_at,
        tunnel.cancelled_at,
    )
    return blake2s(repr(told).encode(), digest_size=8).hexdigest()


def _section(pk: int, token: str) -> str:
    key = f"status:{pk}:{token}:{timezone.get_current_timezone_name()}"
    section = cache.get(key)
    if section is None:
        tunnel = Tunnel.objects.select_related("traffic", "concentrator").get(pk=pk)
        state = state_of(tunnel)
        known = shown(tunnel, state)
        context = {"tunnel": tunnel, "state": state, "status": known}
        section = render_to_string("tunnel/_status.html", context)
        if known["token"] == token:
            cache.set(key, section, KEPT_SECONDS)
    return section
