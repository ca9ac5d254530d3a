"""Detect peer algorithms: start a probe, poll its result, and copy the result to the draft."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.core.exceptions import BadRequest
from django.forms import BoundField
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from vpnportal.models import PeerProbe, Tunnel
from vpnportal.services import EDITABLE_FIELDS, Refused, learned_values, newest_edit, start_probe
from vpnportal.services import use_learned_values as save_learned_values
from vpnportal.web.responses import HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel, is_editable, visible_tunnel
from vpnportal.web.tunnel.draft_version import seen_of, written
from vpnportal.web.tunnel.forms import MoreOptions, PhaseOne, PhaseTwo
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.peer_probe_section import PeerProbeSection, peer_probe_section
from vpnportal.web.tunnel.state_box import state_box_of

FRAGMENT = "tunnel/responses/peer_probe.html"


@dataclass(frozen=True, slots=True)
class SavedControl:
    """A field that the result has filled in, with the HTML of its control."""

    field: BoundField
    control: SafeString


@require_POST
def ask(request: HtmxRequest, pk: int) -> HttpResponse:
    """Start a probe; the page polls its result."""
    tunnel = editable_tunnel(request, pk)
    try:
        start_probe(tunnel, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    return respond(
        request,
        fragment=FRAGMENT,
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "peer_probe": _section(tunnel),
            "announcement": "Detection of the peer's algorithms started",
        },
        redirect_to=_url(tunnel),
    )


@require_safe
def answer(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the newest probe; the page asks every second while the probe runs."""
    tunnel = visible_tunnel(request, pk)

    def context() -> dict[str, object]:
        section = _section(tunnel)
        return {
            "tunnel": tunnel,
            "editable": is_editable(request, tunnel),
            "peer_probe": section,
            "announcement": "" if section.is_running else "Detection of algorithms finished",
        }

    return respond(request, fragment=FRAGMENT, context=context, redirect_to=_url(tunnel))


@require_POST
def fill_in(request: HtmxRequest, pk: int) -> HttpResponse:
    """Copy the values of a probe to the draft.

    The request names the probe: the values are those that the user saw, not those of a newer probe.
    """
    tunnel = editable_tunnel(request, pk)
    probe = _probe(request, tunnel)
    try:
        save_learned_values(tunnel, probe, request.user, seen_of(request.POST))
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    tunnel.refresh_from_db()

    def context() -> dict[str, object]:
        state_box = state_box_of(tunnel)
        return {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box,
            "peer_probe": peer_probe_section(tunnel, state_box.version, is_saved=True),
            "saved_controls": list(_saved_controls(tunnel, learned_values(probe))),
            "announcement": "The accepted values are saved",
        }

    return respond(
        request,
        fragment=FRAGMENT,
        context=context,
        redirect_to=_url(tunnel),
        message="The accepted values are saved. Nothing is applied yet.",
    )


def _probe(request: HtmxRequest, tunnel: Tunnel) -> PeerProbe:
    number = request.POST.get("question", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("No probe is named.")
    return get_object_or_404(tunnel.peer_probes, pk=int(number))


def _saved_controls(tunnel: Tunnel, values: dict[str, str | int | bool]) -> Iterator[SavedControl]:
    """Yield a control for each field in `values`; other fields keep their typed text."""
    for form in (PhaseOne(tunnel), PhaseTwo(tunnel), MoreOptions(tunnel)):
        form.saved_values = {name: value for name, value in values.items() if name in form.fields}
        for name in form.saved_values:
            control = form[name].as_widget(attrs={"hx-swap-oob": "true"})
            yield SavedControl(form[name], control)


def _section(tunnel: Tunnel, refusal: str = "") -> PeerProbeSection:
    """Return the probe section; read the draft's version first, then reload the draft."""
    version = newest_edit(tunnel)
    tunnel.refresh_from_db(fields=EDITABLE_FIELDS)
    return peer_probe_section(tunnel, written(version), refusal=refusal)


def _refuse(request: HtmxRequest, tunnel: Tunnel, refused: Refused) -> HttpResponse:
    status, refusal = status_of(refused), str(refused)

    def full_page() -> HttpResponse:
        page = tunnel_page(request, tunnel)
        section = replace(page.peer_probe, refusal=refusal)
        page = replace(page, peer_probe=section, has_unsaved_content=True)
        return render_tunnel_page(request, page, status)

    return respond(
        request,
        fragment=FRAGMENT,
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "peer_probe": _section(tunnel, refusal),
            "announcement": refusal,
        },
        full_page=full_page,
        status=status,
    )


def _url(tunnel: Tunnel) -> str:
    return reverse("tunnel", args=[tunnel.pk]) + "#ask"
