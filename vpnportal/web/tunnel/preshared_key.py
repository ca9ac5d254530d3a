"""The preshared key of a draft: generated, shown to an owner who asks, hidden again.

It is in the answer to that one POST and in nothing that is kept: no URL, message or session.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.domain.tunnel.preshared_keys import RevealedKey
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.services.edit_conflicts import key_version_of
from vpnportal.web.responses import HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.draft_version import written
from vpnportal.web.tunnel.forms import KEY, PhaseOne
from vpnportal.web.tunnel.page import is_editable, key_context, state_context, tunnel_page


@require_POST
@never_cache
def generate(request: HtmxRequest, pk: int) -> HttpResponse:
    """Keep a new random key, and show it this once: it must be entered at the other end, too."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        key = services.generate_preshared_key(tunnel, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)
    if not request.htmx:
        return tunnel_page(request, tunnel, key=key)
    form = PhaseOne(tunnel)
    form.kept[KEY] = written(key_version_of(tunnel))
    control = form[KEY].as_widget(attrs={"hx-swap-oob": "true"})
    told = "A new key was generated and saved. It is shown beside the field."
    shown = {**state_context(tunnel), "field": form[KEY], "control": control, "told": told}
    return _show(request, tunnel, key, shown)


@require_POST
@never_cache
def reveal(request: HtmxRequest, pk: int) -> HttpResponse:
    """Show the key to an owner, after it was written down that they were shown it."""
    tunnel = get_object_or_404(Tunnel.objects.owned_by(request.user), pk=pk)
    key = services.reveal_preshared_key(tunnel, request.user)
    if not request.htmx:
        return tunnel_page(request, tunnel, key=key)
    return _show(request, tunnel, key, {"told": "The key is shown beside the field."})


@require_safe
@never_cache
def key(request: HtmxRequest, pk: int) -> HttpResponse:
    """The same part of the page without the key: hides it."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    if not request.htmx:
        return redirect(reverse("tunnel", args=[pk]) + "#phase_one")
    return _show(request, tunnel, None, {"told": "The key is hidden."})


def _show(
    request: HtmxRequest, tunnel: Tunnel, key: RevealedKey | None, more: dict[str, Any]
) -> HttpResponse:
    shown = {"tunnel": tunnel, "editable": is_editable(request, tunnel), **more}
    shown |= key_context(request, tunnel) | {"key": key}
    return render_fragment(request, "tunnel/responses/preshared_key.html", shown)


def _refuse(request: HtmxRequest, tunnel: Tunnel, refused: Refused) -> HttpResponse:
    if not request.htmx:
        return tunnel_page(request, tunnel, status_of(refused), key_refused=str(refused))
    shown = {"tunnel": tunnel, "editable": True, **key_context(request, tunnel)}
    shown |= {"key_refused": str(refused), "told": str(refused)}
    return render_fragment(
        request, "tunnel/responses/preshared_key.html", shown, status_of(refused)
    )
