"""Tunnels for service operators: readable, movable to another concentrator, not editable."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from vpnportal import services
from vpnportal.admin.base import PortalAdmin
from vpnportal.models import Concentrator, Tunnel
from vpnportal.services import Refused

FIELDS = (
    "name",
    "account",
    "concentrator",
    "mark",
    "hosted_peer",
    "remote_peer",
    "sa_status_label",
    "sa_status_read_at",
    "ordered_at",
    "ordered_by",
    "disconnected_at",
    "disconnected_by",
    "deleted_at",
    "move",
)


class MoveForm(forms.Form):
    """The target concentrator of a move."""

    concentrator = forms.ModelChoiceField(Concentrator.objects.order_by("name"))


@admin.register(Tunnel)
class Tunnels(PortalAdmin):
    """Read-only admin of tunnels, with a separate form that moves a tunnel to a concentrator."""

    list_display = (
        "name",
        "account",
        "concentrator",
        "hosted_peer",
        "remote_peer",
        "sa_status_label",
    )
    list_filter = ("concentrator", "sa_status", ("cancelled_at", admin.EmptyFieldListFilter))
    list_select_related = ("account", "concentrator")
    # Only what the page shows: a search by another column would tell its value.
    search_fields = ("name", "account__name", "hosted_peer", "remote_peer")
    fields = readonly_fields = FIELDS

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse to add a tunnel: only an order allocates the addresses of a tunnel."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Tunnel | None = None) -> bool:
        """Refuse to delete a tunnel's database row, which keeps the tunnel's name and history."""
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.move_view)
        return [path("<int:pk>/move/", view, name="vpnportal_tunnel_move"), *super().get_urls()]

    @admin.display(description="SA status", ordering="sa_status")
    def sa_status_label(self, tunnel: Tunnel) -> str | None:
        return tunnel.get_sa_status_display() or None

    @admin.display(description="SA status read at")
    def sa_status_read_at(self, tunnel: Tunnel) -> datetime | None:
        return tunnel.sa_status_at

    @admin.display(description="Deleted at")
    def deleted_at(self, tunnel: Tunnel) -> datetime | None:
        return tunnel.cancelled_at

    @admin.display(description="Move")
    def move(self, tunnel: Tunnel) -> str:
        url = reverse("admin:vpnportal_tunnel_move", args=[tunnel.pk])
        return format_html('<a href="{}">Move to another concentrator</a>', url)

    def move_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Move the draft with `services.move`; the traffic moves at the customer's next Apply."""
        tunnel = get_object_or_404(Tunnel.objects.present(), pk=pk)
        if not self.has_change_permission(request, tunnel):
            raise PermissionDenied
        form = MoveForm(request.POST or None)
        if form.is_valid():
            try:
                services.move(tunnel, form.cleaned_data["concentrator"], cast(User, request.user))
            except Refused as refused:
                form.add_error("concentrator", str(refused))
            else:
                text = f"{tunnel.name} moves to {tunnel.hosted_peer} at the customer's next Apply."
                messages.success(request, text)
                return redirect("admin:vpnportal_tunnel_change", tunnel.pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Move {tunnel.name}",
            "tunnel": tunnel,
            "form": form,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/move.html", context)
