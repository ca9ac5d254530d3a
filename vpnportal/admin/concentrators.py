"""Data centers, concentrators with their address pools, and the provider's subnets."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from vpnportal.admin.base import PortalAdmin
from vpnportal.models import AddressPool, Concentrator, Datacenter, Subnet
from vpnportal.models.row_locks import lock_concentrators, lock_subnets
from vpnportal.services import PROVIDER_KINDS

STATUS_FIELDS = ("seen_at", "unreachable_reason", "charon_version", "release", "converged_at")


@admin.register(Datacenter)
class Datacenters(PortalAdmin):
    list_display = ("name", "long_name")
    search_fields = ("name", "long_name")


class PoolForm(forms.ModelForm):
    """Form of an address pool, which may not overlap another pool of its kind."""

    class Meta:
        help_texts: ClassVar = {
            "network": "An order takes one address from a pool of hosted peer addresses, and a /30 "
            "from a pool of static NAT subnets."
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        # No order takes addresses, and no other operator adds any, until this page is saved.
        lock_concentrators()
        network, kind = self.cleaned_data.get("network"), self.cleaned_data.get("kind")
        if network and kind:
            others = AddressPool.objects.filter(kind=kind).exclude(pk=self.instance.pk)
            _refuse_overlap(network, list(others.values_list("network", flat=True)))
        return cleaned


class AddressPools(admin.StackedInline):
    model = AddressPool
    form = PoolForm
    extra = 0


@admin.register(Concentrator)
class Concentrators(PortalAdmin):
    """Concentrators and their address pools. The page Concentrators shows their full status."""

    list_display = ("name", "datacenter", "public_address", "seen_at")
    list_filter = ("datacenter",)
    search_fields = ("name", "public_address")
    inlines = (AddressPools,)
    fields = ("name", "datacenter", "public_address", *STATUS_FIELDS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The names of the queue, the worker and the monitor contain the name.
        return ("name", *STATUS_FIELDS) if obj else STATUS_FIELDS

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # The form read the row without a lock. Others may have written its other columns since.
        obj.save(update_fields=form.changed_data if change else None)


class SubnetForm(forms.ModelForm):
    """Form of a subnet. Two subnets of PROVIDER_KINDS may not overlap."""

    class Meta:
        help_texts: ClassVar = {
            "account": "Leave empty for a provider service that every account may reach.",
            "datacenter": "Leave empty to offer the subnet in every data center.",
            "name": "Shown to the users, such as: web servers.",
            "network": "An IP address and a CIDR, such as 10.2.0.0/24.",
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        lock_concentrators()
        network, kind = self.cleaned_data.get("network"), self.cleaned_data.get("kind")
        if network and kind in PROVIDER_KINDS:
            others = Subnet.objects.filter(kind__in=PROVIDER_KINDS).exclude(pk=self.instance.pk)
            overlapping = others.overlapping(network)
            _refuse_overlap(network, list(overlapping.values_list("network", flat=True)))
        return cleaned


@admin.register(Subnet)
class Subnets(PortalAdmin):
    """Subnets of the provider's side. The page of a tunnel shows the attached subnets."""

    form = SubnetForm
    list_display = ("network", "kind", "account")
    list_filter = ("kind",)
    list_select_related = ("account",)
    search_fields = ("network", "account__name")
    autocomplete_fields = ("account",)

    def has_delete_permission(self, request: HttpRequest, obj: Subnet | None = None) -> bool:
        """Refuse to delete a subnet that a tunnel uses: it must be detached first."""
        is_used = obj is not None and obj.tunnels.exists()
        return not is_used and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: Subnet) -> None:
        self.delete_queryset(request, Subnet.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subnet]) -> None:
        """Delete subnets. Raises PermissionDenied if a tunnel began to use one of them."""
        with transaction.atomic():
            lock_subnets(queryset)
            if queryset.filter(tunnels__isnull=False).exists():
                raise PermissionDenied
            super().delete_queryset(request, queryset)


def _refuse_overlap(network: IPv4Network, others: list[IPv4Network]) -> None:
    for other in others:
        if network.overlaps(other):
            text = f"{network} overlaps {other}, which is in use already: enter a free network."
            raise ValidationError({"network": text})
