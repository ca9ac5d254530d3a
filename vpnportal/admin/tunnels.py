"""Tunnels as the service's operators see them: whose, where and how; moved, and never edited."""

from __future__ import annotations

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
from vpnportal.models import Concentrator, Tunnel
from vpnportal.services import Refused

SHOWN = (
    "name",
    "account",
    "concentrator",
    "hosted_peer",
    "remote_peer",
    "sa_status",
    "sa_status_at",
    "ordered_at",
    "ordered_by",
    "disconnected_at",
    "disconnected_by",
    "cancelled_at",
    "move",
)


class MoveForm(forms.Form):
    """Where to."""

    concentrator = forms.ModelChoiceField(Concentrator.objects.order_by("name"))


@admin.register(Tunnel)
class Tunnels(admin.ModelAdmin):
    """Everything is for reading but the place."""

    list_display = ("name", "account", "concentrator", "hosted_peer", "remote_peer", "sa_status")
    list_filter = ("concentrator", "sa_status", ("cancelled_at", admin.EmptyFieldListFilter))
    list_select_related = ("account", "concentrator")
    search_fields = ("name", "friendly_name", "account__name", "hosted_peer", "remote_peer")
    fields = readonly_fields = SHOWN

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tunnels are ordered."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Tunnel | None = None) -> bool:
        """Tunnels are cancelled: their names and their histories stay."""
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.move_view)
        return [path("<int:pk>/move/", view, name="vpnportal_tunnel_move"), *super().get_urls()]

    @admin.display(description="Move")
    def move(self, tunnel: Tunnel) -> str:
        url = reverse("admin:vpnportal_tunnel_move", args=[tunnel.pk])
        return format_html('<a href="{}">to another concentrator</a>', url)

    def move_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """`services.move`: the draft now, the traffic at the customer's next Apply."""
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
                text = f"{tunnel.name} ends at {tunnel.hosted_peer} from its next Apply on."
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
