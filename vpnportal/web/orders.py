"""Order a tunnel: for the owners of an account."""

from __future__ import annotations

from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.models import Account, Datacenter, Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.services.orders import locations
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of


class OrderForm(forms.Form):
    """Which account, where, and the key that makes the same form order one tunnel only."""

    use_required_attribute = False
    account = forms.ModelChoiceField(
        Account.objects.none(),
        label="Account",
        empty_label=None,
        error_messages={"required": "Choose an account.", "invalid_choice": "Choose an account."},
    )
    location = forms.ModelChoiceField(
        Datacenter.objects.all(),
        label="Location",
        error_messages={"required": "Choose a location.", "invalid_choice": "Choose a location."},
    )
    key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages={name: "Load this page again." for name in ("required", "invalid")},
    )

    def __init__(self, request: HtmxRequest, data: QueryDict | None = None) -> None:
        super().__init__(data, initial={"key": uuid4()})
        owned = Account.objects.owned_by(request.user).order_by("name")
        self.accounts = list(owned)
        if not self.accounts:
            raise Http404("Only owners order tunnels.")
        self.fields["account"].queryset = owned  # type: ignore[attr-defined]


# A browser that goes back asks for a new form, whose key orders another tunnel.
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HtmxRequest) -> HttpResponse:
    """A location is chosen; name, hosted peer address and static NAT subnet are assigned."""
    if request.method != "POST":
        return _order_page(request, OrderForm(request))
    form = OrderForm(request, request.POST)
    if not form.is_valid():
        return _order_page(request, form, UNPROCESSABLE)
    chosen = form.cleaned_data
    try:
        tunnel = services.order(chosen["account"], chosen["location"], request.user, chosen["key"])
    except Refused as refused:
        form.add_error("location", str(refused))
        return _order_page(request, form, status_of(refused))
    messages.success(request, _assigned(tunnel))
    return redirect("tunnel", pk=tunnel.pk)


def _order_page(request: HtmxRequest, form: OrderForm, status: int = OK) -> HttpResponse:
    places = locations()
    free = [place.datacenter for place in places if place.free]
    if len(free) == 1:
        form.initial["location"] = free[0].pk
    shown = {"form": form, "locations": places, "free": free}
    return render_page(request, "tunnel/order.html", shown, status)


def _assigned(tunnel: Tunnel) -> str:
    blocks = ", ".join(str(one) for one in tunnel.networks(Subnet.Kind.STATIC_NAT))
    return (
        f"{tunnel.name} was ordered for {tunnel.account} in {tunnel.concentrator.datacenter}. It "
        f"was assigned the Hosted Peer Address {tunnel.hosted_peer} and the static NAT subnet "
        f"{blocks}. Enter the Remote Peer Address and a Preshared Key next."
    )
