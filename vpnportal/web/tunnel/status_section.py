"""What the Status section shows of one tunnel, from its newest live revision and what was counted.

Unknown is never shown as down: what was seen last is told with its age.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2s
from itertools import chain
from typing import Any, NamedTuple

from django.core.cache import cache
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from vpnportal.domain.gateway_config.compile import suites
from vpnportal.domain.traffic.counters import IkeSaSample, minute_of
from vpnportal.domain.traffic.hour_chart import HourChart, build_hour_chart, looked_at
from vpnportal.domain.traffic.sa_snapshot import from_json
from vpnportal.domain.tunnel.algorithms import suite_words
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Revision, Traffic, Tunnel
from vpnportal.services import TunnelState, state_of
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.diagram import DiagramEnds, horizontal_layout, in_words, vertical_layout
from vpnportal.web.tunnel.subnet_pair_rows import folded_rows, rows


class PhaseOneStatus(NamedTuple):
    """An IKE association: what it runs with, since when, and when it is renewed."""

    version: int
    in_force: str
    applied: str
    established_at: datetime | None
    rekey_at: datetime | None


def status_context(tunnel: Tunnel, state: TunnelState) -> dict[str, Any]:
    """What `tunnel/_status.html` shows; one query, or none where `traffic` was fetched along."""
    live = state.live
    if live is None:
        return {"drawings": ()}
    spec, traffic = live.opened, _traffic(tunnel, live)
    lines = from_json(traffic.lines) if traffic else ()
    watched = live.concentrator.observed_minutes
    ends = _ends(spec, live)
    return {
        "drawings": (horizontal_layout(ends), vertical_layout(ends)),
        "drawn": in_words(ends, state.sa_status),
        "phase_one": [_phase_one(spec, line) for line in lines],
        **folded_rows(rows(spec, state, lines, traffic, watched)),
        "since": _since(traffic),
        "hour": _hour(traffic, watched),
    }


def _traffic(tunnel: Tunnel, live: Revision) -> Traffic | None:
    """What a concentrator wrote that the tunnel has left says nothing of the one it is on."""
    traffic = getattr(tunnel, "traffic", None)
    return traffic if traffic and traffic.concentrator_id == live.concentrator_id else None


def _ends(spec: TunnelSpec, live: Revision) -> DiagramEnds:
    return DiagramEnds(
        tuple(map(str, sorted(spec.hosted_subnets))),
        (str(spec.hosted_peer), live.concentrator.name),
        (str(spec.remote_peer),),
        tuple(map(str, sorted(spec.remote_subnets))),
        sorted(spec.translations, key=lambda row: row.internal),
    )


def _phase_one(spec: TunnelSpec, line: IkeSaSample) -> PhaseOneStatus:
    applied, _ = suites(spec)
    return PhaseOneStatus(
        line.version,
        suite_words(line.suite),
        suite_words(applied) if line.suite.differs_from(applied) else "",
        line.established_at,
        line.rekey_at,
    )


def _since(traffic: Traffic | None) -> datetime | None:
    """When the first of what is counted was installed."""
    begins = [sums[0] for sums in traffic.pairs.values()] if traffic else []
    return datetime.fromisoformat(min(begins)) if begins else None


def _hour(traffic: Traffic | None, watched: Sequence[Sequence[int]]) -> HourChart:
    """All pairs together, also those that the tunnel had and has no more."""
    minutes = chain.from_iterable(traffic.minutes.values()) if traffic else ()
    return build_hour_chart(minutes, looked_at(watched), timezone.now())


# Whatever is shown is at most a minute old, as the token has the minute in it.
KEPT_SECONDS = 60
# Large, and not what the token is made from.
UNREAD = ("traffic__lines", "traffic__pairs", "traffic__minutes")


@require_safe
def status(request: HtmxRequest, pk: int) -> HttpResponse:
    """The section; 204 while the page that asks shows exactly that already."""
    visible = Tunnel.objects.visible_to(request.user).select_related("traffic", "concentrator")
    tunnel = get_object_or_404(visible.defer(*UNREAD), pk=pk)
    if not request.htmx:
        return redirect(reverse("tunnel", args=[pk]) + "#status")
    token = _token(tunnel, _live(tunnel))
    if request.GET.get("seen") == token:
        return HttpResponse(status=204)
    return HttpResponse(_section(pk, token))


def shown(tunnel: Tunnel, state: TunnelState) -> dict[str, Any]:
    """What the section shows, and the token that tells it from what it shows later."""
    return {"token": _token(tunnel, state.live), **status_context(tunnel, state)}


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
        (place.pk, place.is_online(), place.unreachable_reason, place.observed_minutes),
        traffic.taken_at if traffic else None,
        tunnel.sa_status,
        tunnel.disconnected_at,
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
        section = render_to_string("tunnel/sections/status.html", context)
        if known["token"] == token:
            cache.set(key, section, KEPT_SECONDS)
    return section
