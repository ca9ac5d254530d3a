"""The page that orders a tunnel, for the owners of an account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.models import Account, Datacenter, Subnet, Tunnel
from vpnportal.services import (
    Location,
    Quota,
    QuotaUse,
    Refused,
    locations,
    order_refusal,
    quota_use,
)
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of


class OrderForm(forms.Form):
    """Form of an order. Because of `key`, a form that is sent twice orders a single tunnel.

    Raises Http404 if the user owns no account.
    """

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
        error_messages={name: "Reload this page." for name in ("required", "invalid")},
    )

    def __init__(self, request: HtmxRequest, data: QueryDict | None = None) -> None:
        super().__init__(data, initial={"key": uuid4()})
        owned = Account.objects.owned_by(request.user).order_by("name")
        self.accounts = list(owned)
        if not self.accounts:
            raise Http404("Only account owners order tunnels.")
        self.fields["account"].queryset = owned  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """The form, all locations, the data centers with free addresses, and the accounts' quotas."""

    form: OrderForm
    locations: list[Location]
    available: list[Datacenter]
    quotas: list[AccountQuota]


@dataclass(frozen=True, slots=True)
class AccountQuota:
    """The tunnels of an account. `refusal` says why it may order none now, or is ""."""

    account: Account
    use: QuotaUse
    refusal: str


# Without a cache, a browser that goes back gets a new form, and its key orders another tunnel.
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HtmxRequest) -> HttpResponse:
    """Show the form, or order a tunnel in the chosen location."""
    if request.method != "POST":
        return _order_page(request, OrderForm(request))
    form = OrderForm(request, request.POST)
    if not form.is_valid():
        return _order_page(request, form, UNPROCESSABLE)
    values = form.cleaned_data
    try:
        tunnel = services.order(values["account"], values["location"], request.user, values["key"])
    except Refused as refused:
        has_account_field = len(form.accounts) > 1
        is_of_account = any(problem.field == "account" for problem in refused.problems)
        field = "account" if has_account_field and is_of_account else "location"
        form.add_error(field, str(refused))
        return _order_page(request, form, status_of(refused))
    messages.success(request, _message(tunnel))
    return redirect("tunnel", pk=tunnel.pk)


def _order_page(request: HtmxRequest, form: OrderForm, status: int = OK) -> HttpResponse:
    every_location = locations()
    available = [location.datacenter for location in every_location if location.free]
    if len(available) == 1:
        form.initial["location"] = available[0].pk
    quotas = [
        AccountQuota(account, quota_use(account.pk, Quota.TUNNELS), order_refusal(account.pk))
        for account in form.accounts
    ]
    if all(quota.refusal for quota in quotas):
        available = []
    order = OrderPage(form, every_location, available, quotas)
    return render_page(request, "tunnel/order.html", {"order": order}, status)


def _message(tunnel: Tunnel) -> str:
    subnets = ", ".join(str(network) for network in tunnel.networks(Subnet.Kind.STATIC_NAT))
    return (
        f"Ordered {tunnel.name} for {tunnel.account} in {tunnel.concentrator.datacenter}. Its "
        f"Hosted Peer Address is {tunnel.hosted_peer}, its static NAT subnet is {subnets}. Enter "
        "the Remote Peer Address and a Preshared Key next."
    )
