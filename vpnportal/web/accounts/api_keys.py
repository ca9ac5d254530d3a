"""API keys on the page of the accounts: members create their own, owners revoke any."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Account, ApiKey, Scope
from vpnportal.services import Refused
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.accounts.views import FormResult, accounts_page
from vpnportal.web.responses import UNPROCESSABLE, HtmxRequest, status_of

INPUTS = ("name", "scope", "first_day", "last_day", "sources")


@require_POST
@never_cache
@confirmed
def create(request: HtmxRequest, pk: int) -> HttpResponse:
    """Create an API key; only this response shows it."""
    account = get_object_or_404(Account.objects.visible_to(request.user), pk=pk)
    entered = {name: request.POST.get(name, "") for name in INPUTS}
    networks = entered["sources"].replace(",", " ").split()
    try:
        first_day, last_day = (services.parse_day(entered[name]) for name in INPUTS[2:4])
        key = services.create_api_key(
            account,
            request.user,
            entered["name"],
            last_day,
            networks,
            first_day=first_day,
            scope=entered["scope"] or Scope.READ,
        )
    except ValueError as error:
        refused_form = FormResult(pk, str(error), api_key_input=entered)
        return accounts_page(request, UNPROCESSABLE, refused_form)
    except Refused as refused:
        refused_form = FormResult(pk, str(refused), api_key_input=entered)
        return accounts_page(request, status_of(refused), refused_form)
    return accounts_page(request, result=FormResult(pk, api_key=key.text))


@require_POST
@confirmed
def revoke(request: HtmxRequest, pk: int, key: int) -> HttpResponse:
    """Revoke an API key."""
    managed = ApiKey.objects.managed_by(request.user).filter(account=pk)
    api_key = get_object_or_404(managed, pk=key)
    services.revoke_api_key(api_key)
    messages.success(request, f"API key {api_key.name} revoked.")
    return redirect("accounts")
