"""The page behind an invitation's link: join as who is signed in, or as a new user."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from vpnportal.models import Invitation, Role
from vpnportal.services import Refused, memberships
from vpnportal.web.accounts.views import ROLES
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest

BACKEND = "django.contrib.auth.backends.ModelBackend"


class NewUser(BaseUserCreationForm):
    """Django's own, with the words that the sign-in page has."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.use_required_attribute = False
        self.fields["username"].label = "User name"
        self.fields["password2"].label = "Password again"
        for name, field in self.fields.items():
            if name != "password1":
                field.help_text = ""
            field.widget.attrs["autofocus"] = False


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
def invitation(request: HtmxRequest, token: str) -> HttpResponse:
    """Tell what the invitation is for, and join on a POST; an unknown link is 404."""
    found = memberships.invitation_of(token)
    if found is None:
        raise Http404("There is no such invitation.")
    if request.method != "POST":
        return _page(request, found, NewUser())
    if request.user.is_authenticated:
        return _join(request, found, token)
    form = NewUser(request.POST)
    if not form.is_valid():
        return _page(request, found, form, status=UNPROCESSABLE)
    try:
        with transaction.atomic():
            user = form.save()
            memberships.accept(token, user)
    except Refused as refused:
        return _page(request, found, form, str(refused), UNPROCESSABLE)
    login(request, user, BACKEND)
    messages.success(request, f"Welcome to {found.account}.")
    return redirect("tunnels")


def _join(request: HtmxRequest, found: Invitation, token: str) -> HttpResponse:
    try:
        memberships.accept(token, request.user)
    except Refused as refused:
        return _page(request, found, NewUser(), str(refused), UNPROCESSABLE)
    messages.success(request, f"You belong to {found.account} now.")
    return redirect("tunnels")


def _page(
    request: HtmxRequest, found: Invitation, form: NewUser, refusal: str = "", status: int = OK
) -> HttpResponse:
    role = Role(found.role)
    does = f"{role.label} {ROLES[role]}"
    shown = {"invitation": found, "does": does, "form": form, "refusal": refusal}
    return render(request, "accounts/invitation.html", shown, status=status)
