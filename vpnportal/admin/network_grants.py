"""Grants of networks that a customer may reserve only with the consent of the operators."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from vpnportal.admin.base import PortalAdmin
from vpnportal.domain.addresses import claim_objection
from vpnportal.models import NetworkGrant


class GrantForm(forms.ModelForm):
    """Form of a grant, which refuses a network that needs none."""

    class Meta:
        help_texts: ClassVar = {
            "network": "A public network of the customer, or a private one that is larger than "
            "others may reserve. The tunnels of the account may then reserve it and its parts.",
        }

    def clean_network(self) -> IPv4Network:
        network: IPv4Network = self.cleaned_data["network"]
        least, least_public = settings.CLAIM_PREFIX, settings.PUBLIC_CLAIM_PREFIX
        if not claim_objection(network, least):
            text = f"{network} needs no grant: it is private, and not larger than a /{least}."
            raise ValidationError(text)
        if network.is_global and network.prefixlen < least_public:
            text = (
                f"{network} is larger than a /{least_public}, the largest public network that one "
                "account may reserve. Grant the parts that the customer has."
            )
            raise ValidationError(text)
        return network


@admin.register(NetworkGrant)
class NetworkGrants(PortalAdmin):
    """Grants, each with the operator who gave it. A grant is deleted and added, not changed.

    Without a grant, live tunnels keep what they reserve until their next apply.
    """

    form = GrantForm
    list_display = ("network", "account", "granted_by", "granted_at")
    list_select_related = ("account", "granted_by")
    search_fields = ("network", "account__name")
    autocomplete_fields = ("account",)
    fields = ("account", "network")

    def has_change_permission(self, request: HttpRequest, obj: NetworkGrant | None = None) -> bool:
        """Refuse changes: `granted_by` would name the wrong operator."""
        return False

    def save_model(self, request: HttpRequest, obj: NetworkGrant, form: Any, change: bool) -> None:
        obj.granted_by = cast(User, request.user)
        super().save_model(request, obj, form, change)
