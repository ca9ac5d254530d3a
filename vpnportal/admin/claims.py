"""Reserved networks with their tunnels, and applies that were refused for addresses of others."""

from __future__ import annotations

from ipaddress import IPv4Address, summarize_address_range
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from vpnportal.admin.base import PortalAdmin
from vpnportal.models import RefusedApply, RemoteClaim


class ReadOnly(PortalAdmin):
    """Rows that the portal writes, and that operators read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(RemoteClaim)
class RemoteClaims(ReadOnly):
    """The networks and peers of live, unfinished and fallback revisions."""

    list_display = ("network", "account", "tunnel", "concentrator", "kind", "until")
    list_filter = ("revision__concentrator", "is_peer")
    search_fields = ("revision__tunnel__name", "revision__tunnel__account__name")
    list_select_related = ("revision__tunnel__account", "revision__concentrator")
    ordering = ("first", "last")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RemoteClaim]:
        held = RemoteClaim.objects.held().values("pk")
        return super().get_queryset(request).filter(pk__in=held)

    @admin.display(ordering="first")
    def network(self, claim: RemoteClaim) -> str:
        first, last = IPv4Address(claim.first), IPv4Address(claim.last)
        return ", ".join(map(str, summarize_address_range(first, last)))

    @admin.display(ordering="revision__tunnel__account__name")
    def account(self, claim: RemoteClaim) -> str:
        return str(claim.revision.tunnel.account)

    @admin.display(ordering="revision__tunnel__name")
    def tunnel(self, claim: RemoteClaim) -> str:
        return claim.revision.tunnel.name

    @admin.display(ordering="revision__concentrator__name")
    def concentrator(self, claim: RemoteClaim) -> str:
        return str(claim.revision.concentrator)

    @admin.display(ordering="is_peer")
    def kind(self, claim: RemoteClaim) -> str:
        return "peer" if claim.is_peer else "remote subnet"

    @admin.display(ordering="revision__tunnel__claims_until", empty_value="was up once")
    def until(self, claim: RemoteClaim) -> Any:
        return claim.revision.tunnel.claims_until


@admin.register(RefusedApply)
class RefusedApplies(ReadOnly):
    """Many of one account may be a search for networks of others."""

    list_display = ("at", "account", "tunnel", "author", "addresses")
    list_filter = ("account",)
    search_fields = ("account__name", "tunnel__name", "author__username", "addresses")
    list_select_related = ("account", "tunnel", "author")
