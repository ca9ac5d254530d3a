"""The page of an invitation link: join as the signed-in user, or create a user and join."""

from __future__ import annotations

from dataclasses import dataclass
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

from vpnportal import services
from vpnportal.models import Invitation, Role
from vpnportal.services import Refused
from vpnportal.web.accounts.views import PERMISSIONS
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest

BACKEND = "django.contrib.auth.backends.ModelBackend"


class NewUser(BaseUserCreationForm):
    """Django's form for a new user, with the labels of the sign-in page."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.use_required_attribute = False
        self.fields["username"].label = "User name"
        self.fields["password2"].label = "Confirm password"
        for name, field in self.fields.items():
            if name != "password1":
                field.help_text = ""
            field.widget.attrs["autofocus"] = False


@dataclass(frozen=True, slots=True)
class InvitationPage:
    """The invitation with its forms. `permissions` is a sentence about the offered role."""

    invitation: Invitation
    permissions: str
    form: NewUser
    refusal: str


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
def invitation(request: HtmxRequest, token: str) -> HttpResponse:
    """Show the invitation, or accept it on a POST; 404 for an unknown or used link."""
    invitation = services.invitation_of(token)
    if invitation is None:
        raise Http404("There is no such invitation.")
    if request.method != "POST":
        return _page(request, invitation, NewUser())
    if request.user.is_authenticated:
        return _join(request, invitation, token)
    form = NewUser(request.POST)
    if not form.is_valid():
        return _page(request, invitation, form, status=UNPROCESSABLE)
    try:
        with transaction.atomic():
            user = form.save()
            services.accept_invitation(token, user)
    except Refused as refused:
        return _page(request, invitation, form, str(refused), UNPROCESSABLE)
    login(request, user, BACKEND)
    messages.success(request, f"Welcome to {invitation.account}.")
    return redirect("tunnels")


def _join(request: HtmxRequest, invitation: Invitation, token: str) -> HttpResponse:
    try:
        services.accept_invitation(token, request.user)
    except Refused as refused:
        return _page(request, invitation, NewUser(), str(refused), UNPROCESSABLE)
    messages.success(request, f"You are now a member of {invitation.account}.")
    return redirect("tunnels")


def _page(
    request: HtmxRequest,
    invitation: Invitation,
    form: NewUser,
    refusal: str = "",
    status: int = OK,
) -> HttpResponse:
    role = Role(invitation.role)
    permissions = f"{role.label} {PERMISSIONS[role]}"
    page = InvitationPage(invitation, permissions, form, refusal)
    return render(request, "accounts/invitation.html", {"page": page}, status=status)
