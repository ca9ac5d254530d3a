"""Look-ups of one tunnel by primary key, and permission checks, for the signed-in user.

A look-up without permission raises Http404, so that a response never reveals which tunnels exist.
"""

from __future__ import annotations

from django.shortcuts import get_object_or_404

from vpnportal.models import Tunnel
from vpnportal.web.responses import HtmxRequest


def visible_tunnel(request: HtmxRequest, pk: int, *related: str) -> Tunnel:
    """Return a tunnel that the user may view.

    `related` names the foreign keys that the same query loads (`select_related`).
    """
    visible = Tunnel.objects.visible_to(request.user)
    return get_object_or_404(visible.select_related(*related) if related else visible, pk=pk)


def editable_tunnel(request: HtmxRequest, pk: int) -> Tunnel:
    """Return a tunnel that the user may edit and apply."""
    return get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)


def owned_tunnel(request: HtmxRequest, pk: int) -> Tunnel:
    """Return a tunnel of an account that the user owns."""
    return get_object_or_404(Tunnel.objects.owned_by(request.user), pk=pk)


def is_editable(request: HtmxRequest, tunnel: Tunnel) -> bool:
    """Return True if the user may edit the tunnel and it is not deleted; one query."""
    return Tunnel.objects.editable_by(request.user).present().filter(pk=tunnel.pk).exists()


def is_owned(request: HtmxRequest, tunnel: Tunnel) -> bool:
    """Return True if the user owns the tunnel's account; one query."""
    return Tunnel.objects.owned_by(request.user).filter(pk=tunnel.pk).exists()
