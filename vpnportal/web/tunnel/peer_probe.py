"""Ask the peer: put the question, look for the answer, and fill the form in with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal.models import PeerProbe, Tunnel
from vpnportal.services import Refused
from vpnportal.services.drafts import EDITABLE
from vpnportal.services.edit_conflicts import newest_edit
from vpnportal.services.peer_probe import fill_in as fill_in_answer
from vpnportal.services.peer_probe import learned_values
from vpnportal.services.peer_probe import start_probe as ask_peer
from vpnportal.web.responses import HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.draft_version import seen_of, written
from vpnportal.web.tunnel.forms import MoreOptions, PhaseOne, PhaseTwo
from vpnportal.web.tunnel.page import is_editable, state_context, tunnel_page
from vpnportal.web.tunnel.peer_probe_section import peer_probe_context


@require_POST
def ask(request: HtmxRequest, pk: int) -> HttpResponse:
    """Have the peer asked; its answer comes later."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        ask_peer(tunnel, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    return _show(request, tunnel, told="The peer is being asked")


@require_safe
def answer(request: HtmxRequest, pk: int) -> HttpResponse:
    """What is known by now; asked for once a second while the answer is to come."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    if not request.htmx:
        return _back(tunnel)
    shown = {"editable": is_editable(request, tunnel), **_asked(tunnel)}
    told = "" if shown["asking"] else "The question to the peer is over"
    return render_fragment(request, "tunnel/responses/peer_probe.html", {**shown, "told": told})


@require_POST
def fill_in(request: HtmxRequest, pk: int) -> HttpResponse:
    """Keep what the peer accepts in the form; the question is named, or a newer one would count."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    question = _question(request, tunnel)
    try:
        fill_in_answer(tunnel, question, request.user, seen_of(request.POST))
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    tunnel.refresh_from_db()
    if not request.htmx:
        messages.success(request, "Filled in with what the peer accepts. Nothing is applied yet.")
        return _back(tunnel)
    shown = {
        **state_context(tunnel),
        **peer_probe_context(tunnel),
        "editable": True,
        "filled": list(_controls(tunnel, learned_values(question))),
        "told": "Filled in with what the peer accepts",
    }
    return render_fragment(request, "tunnel/responses/peer_probe.html", shown)


def _controls(tunnel: Tunnel, kept: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The controls of these fields alone: what somebody types in others stays."""
    for form in (PhaseOne(tunnel), PhaseTwo(tunnel), MoreOptions(tunnel)):
        form.kept = {name: value for name, value in kept.items() if name in form.fields}
        for name in form.kept:
            yield {
                "field": form[name],
                "control": form[name].as_widget(attrs={"hx-swap-oob": "true"}),
            }


def _question(request: HtmxRequest, tunnel: Tunnel) -> PeerProbe:
    number = request.POST.get("question", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("No question is named.")
    return get_object_or_404(tunnel.peer_probes, pk=int(number))


def _asked(tunnel: Tunnel) -> dict[str, Any]:
    """The version is read before the draft: what is shown is never older than that."""
    version = newest_edit(tunnel)
    tunnel.refresh_from_db(fields=EDITABLE)
    return {"tunnel": tunnel, "version": written(version), **peer_probe_context(tunnel)}


def _show(request: HtmxRequest, tunnel: Tunnel, told: str) -> HttpResponse:
    if not request.htmx:
        return _back(tunnel)
    shown = {"editable": True, **_asked(tunnel), "told": told}
    return render_fragment(request, "tunnel/responses/peer_probe.html", shown)


def _refuse(request: HtmxRequest, tunnel: Tunnel, refused: Refused) -> HttpResponse:
    if not request.htmx:
        return tunnel_page(request, tunnel, status_of(refused), ask_refused=str(refused))
    shown = {"editable": True, **_asked(tunnel)}
    shown |= {"ask_refused": str(refused), "told": str(refused)}
    return render_fragment(request, "tunnel/responses/peer_probe.html", shown, status_of(refused))


def _back(tunnel: Tunnel) -> HttpResponse:
    return redirect(reverse("tunnel", args=[tunnel.pk]) + "#ask")
