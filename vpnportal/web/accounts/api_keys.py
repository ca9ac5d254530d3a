"""Keys of programs, on the page of the accounts: anybody makes their own, owners revoke all."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from vpnportal.models import Account, ApiKey
from vpnportal.services import Refused, api_keys, input_parsing
from vpnportal.web.accounts.views import show
from vpnportal.web.responses import UNPROCESSABLE, HtmxRequest, status_of

INPUTS = ("name", "last_day", "sources")


@require_POST
@never_cache
def create(request: HtmxRequest, pk: int) -> HttpResponse:
    """Make a key; it is shown in this answer and never again."""
    account = get_object_or_404(Account.objects.visible_to(request.user), pk=pk)
    given = {name: request.POST.get(name, "") for name in INPUTS}
    networks = given["sources"].replace(",", " ").split()
    try:
        last_day = input_parsing.day(given["last_day"])
        made = api_keys.create(account, request.user, given["name"], last_day, networks)
    except ValueError as error:
        return show(request, UNPROCESSABLE, wrong={pk: str(error)}, key={pk: given})
    except Refused as refused:
        return show(request, status_of(refused), wrong={pk: str(refused)}, key={pk: given})
    return show(request, made={pk: made.text})


@require_POST
def revoke(request: HtmxRequest, pk: int, key: int) -> HttpResponse:
    """Let a key in no more."""
    mine = ApiKey.objects.managed_by(request.user).filter(account=pk)
    found = get_object_or_404(mine, pk=key)
    api_keys.revoke(found)
    messages.success(request, f"The key of {found.name} lets nobody in any more.")
    return redirect("accounts")
