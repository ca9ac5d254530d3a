"""The preshared key of a draft: generate one, reveal it to an owner, hide it again.

The key is only in the response to `generate` or `reveal`, and in no URL, message or session.
"""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.domain.tunnel.preshared_keys import RevealedKey
from vpnportal.models import Tunnel
from vpnportal.services import Refused, key_version_of
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.responses import OK, HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import (
    editable_tunnel,
    is_editable,
    owned_tunnel,
    visible_tunnel,
)
from vpnportal.web.tunnel.draft_version import written
from vpnportal.web.tunnel.forms import KEY_FIELD, PhaseOne
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.preshared_key_section import preshared_key_section
from vpnportal.web.tunnel.state_box import state_box_of

FRAGMENT = "tunnel/responses/preshared_key.html"


@require_POST
@never_cache
def generate(request: HtmxRequest, pk: int) -> HttpResponse:
    """Save a random key, and show it once: the peer needs the same key."""
    tunnel = editable_tunnel(request, pk)
    try:
        key = services.generate_preshared_key(tunnel, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, refused)

    def context() -> dict[str, object]:
        form, state_box = PhaseOne(tunnel), state_box_of(tunnel)
        form.saved_values[KEY_FIELD] = written(key_version_of(tunnel))
        return {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box,
            "preshared_key": preshared_key_section(
                request, tunnel, state=state_box.state, revealed=key
            ),
            "field": form[KEY_FIELD],
            "control": form[KEY_FIELD].as_widget(attrs={"hx-swap-oob": "true"}),
            "announcement": "A new key was generated and saved. It is shown beside the field.",
        }

    return respond(
        request,
        fragment=FRAGMENT,
        context=context,
        full_page=lambda: _page(request, tunnel, revealed=key),
    )


@require_POST
@never_cache
@confirmed
def reveal(request: HtmxRequest, pk: int) -> HttpResponse:
    """Record the reveal of the key, then show the key to an owner."""
    tunnel = owned_tunnel(request, pk)
    key = services.reveal_preshared_key(tunnel, request.user)
    return respond(
        request,
        fragment=FRAGMENT,
        context=lambda: {
            "tunnel": tunnel,
            "editable": is_editable(request, tunnel),
            "preshared_key": preshared_key_section(request, tunnel, revealed=key),
            "announcement": "The key is shown beside the field.",
        },
        full_page=lambda: _page(request, tunnel, revealed=key),
    )


@require_safe
@never_cache
def key(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the section without the key, which hides a revealed key."""
    tunnel = visible_tunnel(request, pk)
    return respond(
        request,
        fragment=FRAGMENT,
        context=lambda: {
            "tunnel": tunnel,
            "editable": is_editable(request, tunnel),
            "preshared_key": preshared_key_section(request, tunnel),
            "announcement": "The key is hidden.",
        },
        redirect_to=reverse("tunnel", args=[pk]) + "#phase_one",
    )


def _refuse(request: HtmxRequest, tunnel: Tunnel, refused: Refused) -> HttpResponse:
    status, refusal = status_of(refused), str(refused)
    return respond(
        request,
        fragment=FRAGMENT,
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "preshared_key": preshared_key_section(request, tunnel, refusal=refusal),
            "announcement": refusal,
        },
        full_page=lambda: _page(request, tunnel, refusal=refusal, status=status),
        status=status,
    )


def _page(
    request: HtmxRequest,
    tunnel: Tunnel,
    *,
    revealed: RevealedKey | None = None,
    refusal: str = "",
    status: int = OK,
) -> HttpResponse:
    page = tunnel_page(request, tunnel)
    section = replace(page.preshared_key, revealed=revealed, refusal=refusal)
    page = replace(page, preshared_key=section, has_unsaved_content=True)
    return render_tunnel_page(request, page, status)
