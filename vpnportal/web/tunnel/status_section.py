"""The Status section of a tunnel: diagram, proposals, subnet pairs and traffic of the last hour.

The section shows the live revision and the SAs that the monitor recorded. While the concentrator is
offline the section says so and shows the last known status: unknown is never shown as down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from django.core.cache import caches
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from vpnportal.domain.gateway_config.compile import suites
from vpnportal.domain.traffic.counters import IkeSaSample
from vpnportal.domain.traffic.hour_chart import HourChart, build_hour_chart, expand_spans
from vpnportal.domain.traffic.sa_snapshot import from_json
from vpnportal.domain.tunnel.algorithms import suite_words
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Revision, Traffic, Tunnel
from vpnportal.services import TunnelState, state_of
from vpnportal.web.poll_tokens import status_section_token
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.diagram import (
    DiagramEnds,
    Drawing,
    horizontal_layout,
    in_words,
    vertical_layout,
)
from vpnportal.web.tunnel.subnet_pair_rows import SubnetPairTable, subnet_pair_rows

# The token changes every minute, so that an older section is never used.
CACHE_SECONDS = 60
# These columns are large, and the token does not need them.
DEFERRED = ("traffic__lines", "traffic__pairs", "traffic__minutes")


class PhaseOneStatus(NamedTuple):
    """An IKE_SA; `applied_proposal` is "" if the IKE_SA uses the applied proposal."""

    version: int
    proposal: str
    applied_proposal: str
    established_at: datetime | None
    rekey_at: datetime | None


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The content of the section for a tunnel with a live revision.

    `description` is the diagram in words. `counted_since` is the start of the traffic totals.
    """

    drawings: tuple[Drawing, ...]
    description: str
    phase_one: list[PhaseOneStatus]
    pairs: SubnetPairTable
    counted_since: datetime | None
    hour: HourChart


@dataclass(frozen=True, slots=True)
class StatusSection:
    """The content of `tunnel/sections/status.html`; `live` is None without a live revision."""

    token: str
    state: TunnelState
    live: LiveStatus | None

    @property
    def sa_status(self) -> str:
        """The label of the SA status."""
        return self.state.sa_status

    @property
    def description(self) -> str:
        """The diagram in words."""
        return self.live.description if self.live else ""


@require_safe
def status(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the section; 204 if the page shows it already."""
    visible = Tunnel.objects.visible_to(request.user).select_related("traffic", "concentrator")
    tunnel = get_object_or_404(visible.defer(*DEFERRED), pk=pk)
    if not request.htmx:
        return redirect(reverse("tunnel", args=[pk]) + "#status")
    token = status_section_token(tunnel, _live_revision(tunnel))
    if request.GET.get("seen") == token:
        return HttpResponse(status=204)
    return HttpResponse(_cached_html(pk, token))


def _live_revision(tunnel: Tunnel) -> Revision | None:
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).select_related("concentrator")
    return live.defer("specification", "steps").first()


def _cached_html(pk: int, token: str) -> str:
    """Return the HTML of the section, rendered once for all users of a time zone."""
    key = f"status:{pk}:{token}:{timezone.get_current_timezone_name()}"
    html = caches["pages"].get(key)
    if html is None:
        tunnel = Tunnel.objects.select_related("traffic", "concentrator").get(pk=pk)
        section = status_section(tunnel, state_of(tunnel))
        context = {"tunnel": tunnel, "status": section}
        html = render_to_string("tunnel/sections/status.html", context)
        if section.token == token:
            caches["pages"].set(key, html, CACHE_SECONDS)
    return html


def status_section(tunnel: Tunnel, state: TunnelState) -> StatusSection:
    """Return the section of a tunnel; one query, none if `tunnel.traffic` is loaded already."""
    token = status_section_token(tunnel, state.live)
    return StatusSection(token, state, _live_status(tunnel, state))


def _live_status(tunnel: Tunnel, state: TunnelState) -> LiveStatus | None:
    live = state.live
    if live is None:
        return None
    spec, traffic = live.opened, _traffic(tunnel, live)
    ike_sas = from_json(traffic.lines) if traffic else ()
    observed_minutes = live.concentrator.observed_minutes
    rows = subnet_pair_rows(spec, state, ike_sas, traffic, observed_minutes)
    ends = _diagram_ends(spec, live)
    return LiveStatus(
        drawings=(horizontal_layout(ends), vertical_layout(ends)),
        description=in_words(ends, state.sa_status),
        phase_one=[_phase_one(spec, ike_sa) for ike_sa in ike_sas],
        pairs=SubnetPairTable.of(rows),
        counted_since=_counted_since(traffic),
        hour=_hour(traffic, observed_minutes),
    )


def _traffic(tunnel: Tunnel, live: Revision) -> Traffic | None:
    """Return the recorded traffic, unless it comes from a concentrator that the tunnel has left."""
    traffic = getattr(tunnel, "traffic", None)
    return traffic if traffic and traffic.concentrator_id == live.concentrator_id else None


def _diagram_ends(spec: TunnelSpec, live: Revision) -> DiagramEnds:
    return DiagramEnds(
        tuple(map(str, sorted(spec.hosted_subnets))),
        (str(spec.hosted_peer), live.concentrator.name),
        (str(spec.remote_peer),),
        tuple(map(str, sorted(spec.remote_subnets))),
        sorted(spec.translations, key=lambda row: row.internal),
    )


def _phase_one(spec: TunnelSpec, ike_sa: IkeSaSample) -> PhaseOneStatus:
    applied, _ = suites(spec)
    return PhaseOneStatus(
        ike_sa.version,
        suite_words(ike_sa.suite),
        suite_words(applied) if ike_sa.suite.differs_from(applied) else "",
        ike_sa.established_at,
        ike_sa.rekey_at,
    )


def _counted_since(traffic: Traffic | None) -> datetime | None:
    starts = [totals[0] for totals in traffic.pairs.values()] if traffic else []
    return datetime.fromisoformat(min(starts)) if starts else None


def _hour(traffic: Traffic | None, observed_minutes: Sequence[Sequence[int]]) -> HourChart:
    """Return the last hour's traffic, summed over all present and removed subnet pairs."""
    minutes = chain.from_iterable(traffic.minutes.values()) if traffic else ()
    return build_hour_chart(minutes, expand_spans(observed_minutes), timezone.now())
