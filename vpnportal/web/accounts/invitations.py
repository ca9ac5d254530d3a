"""The page of an invitation link: join as the signed-in user, or create a user and join."""

from __future__ import annotations

from dataclasses import dataclass

from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from vpnportal import services
from vpnportal.models import Invitation, Role
from vpnportal.services import Refused
from vpnportal.user_names import TAKEN
from vpnportal.web.accounts.forms import NewUser
from vpnportal.web.accounts.views import PERMISSIONS
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest


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
    except IntegrityError:
        # Another request made a user with a similar name a moment ago.
        return _page(request, invitation, form, TAKEN, UNPROCESSABLE)
    messages.success(request, f"Welcome to {invitation.account}.")
    return perform_login(request, Login(user=user, signup=True, redirect_url=reverse("tunnels")))


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
