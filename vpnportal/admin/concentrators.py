"""Data centers, concentrators with their pools, and the subnets of the provider's side."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from vpnportal.models import AddressPool, Concentrator, Datacenter, Subnet
from vpnportal.services.tunnel_conflicts import OWN

SEEN = ("seen_at", "unreachable_reason", "charon_version")


@admin.register(Datacenter)
class Datacenters(admin.ModelAdmin):
    list_display = ("name", "long_name")
    search_fields = ("name", "long_name")


class PoolForm(forms.ModelForm):
    """A pool shares no address with another one of its kind."""

    class Meta:
        help_texts: ClassVar = {
            "network": "Each order takes one address of a pool of Hosted peer addresses, and a /30 "
            "of one of Static NAT subnets."
        }

    def clean(self) -> dict[str, Any] | None:
        kept = super().clean()
        network, kind = self.cleaned_data.get("network"), self.cleaned_data.get("kind")
        if network and kind:
            others = AddressPool.objects.filter(kind=kind).exclude(pk=self.instance.pk)
            _refuse_overlap(network, list(others.values_list("network", flat=True)))
        return kept


class AddressPools(admin.StackedInline):
    model = AddressPool
    form = PoolForm
    extra = 0


@admin.register(Concentrator)
class Concentrators(admin.ModelAdmin):
    """What was seen of it is for reading; the page Concentrators says more, and says it better."""

    list_display = ("name", "datacenter", "public_address", "seen_at")
    list_filter = ("datacenter",)
    search_fields = ("name", "public_address")
    inlines = (AddressPools,)
    fields = ("name", "datacenter", "public_address", *SEEN)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Its queue, its worker and its watch are called by the name.
        return ("name", *SEEN) if obj else SEEN


class SubnetForm(forms.ModelForm):
    """Provider networks are somebody's alone."""

    class Meta:
        help_texts: ClassVar = {
            "account": "None makes it a service of the provider, which every account may reach.",
            "datacenter": "None offers it to the tunnels of every data center.",
            "name": "What its users know it by, such as: web servers.",
            "network": "An IP address and a CIDR, such as 10.2.0.0/24.",
        }

    def clean(self) -> dict[str, Any] | None:
        kept = super().clean()
        network, kind = self.cleaned_data.get("network"), self.cleaned_data.get("kind")
        if network and kind in OWN:
            others = Subnet.objects.filter(kind__in=OWN).exclude(pk=self.instance.pk)
            near = others.filter(
                first__lte=int(network.broadcast_address), last__gte=int(network.network_address)
            )
            _refuse_overlap(network, list(near.values_list("network", flat=True)))
        return kept


@admin.register(Subnet)
class Subnets(admin.ModelAdmin):
    """Which tunnels a subnet is attached to is shown with the tunnel."""

    form = SubnetForm
    list_display = ("network", "kind", "account")
    list_filter = ("kind",)
    list_select_related = ("account",)
    search_fields = ("network", "account__name")
    autocomplete_fields = ("account",)

    def has_delete_permission(self, request: HttpRequest, obj: Subnet | None = None) -> bool:
        """One that a tunnel uses is detached there first."""
        used = obj is not None and obj.tunnels.exists()
        return not used and super().has_delete_permission(request, obj)


def _refuse_overlap(network: IPv4Network, others: list[IPv4Network]) -> None:
    for other in others:
        if network.overlaps(other):
            text = f"{network} overlaps {other}, which is given already: enter a free network."
            raise ValidationError({"network": text})
