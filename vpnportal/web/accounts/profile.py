"""The settings of a user, and the page after a change of the password."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from vpnportal import services
from vpnportal.models import ApiKey, Profile, UserIdentity
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page


class ProfileForm(forms.Form):
    """Form for UTC or an IANA time zone with an area, such as "Europe/Paris"."""

    time_zone = forms.ChoiceField(
        label="Time zone",
        error_messages={"invalid_choice": "Choose a time zone from the list."},
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        zones = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
        choices = [(zone, zone.replace("_", " ")) for zone in zones]
        self.fields["time_zone"].choices = choices  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HtmxRequest) -> HttpResponse:
    """Show the user's settings, or save the chosen time zone."""
    stored = Profile.objects.filter(user=request.user).first() or Profile()
    entered = request.POST if request.method == "POST" else None
    form = ProfileForm(entered, initial={"time_zone": stored.time_zone})
    if form.is_valid():
        zone = form.cleaned_data["time_zone"]
        Profile.objects.update_or_create(user=request.user, defaults={"time_zone": zone})
        messages.success(request, f"Saved. Times are shown in {zone.replace('_', ' ')}.")
        return redirect("profile")
    status = UNPROCESSABLE if form.errors else OK
    context = {
        "form": form,
        "identity": UserIdentity.objects.filter(user=request.user).first(),
        "address": EmailAddress.objects.filter(user=request.user, verified=True).first(),
        "factors": Authenticator.objects.filter(user=request.user).count(),
        "sends_mail": bool(settings.MAIL_URL),
    }
    return render_page(request, "accounts/profile.html", context, status)


@require_http_methods(["GET", "HEAD", "POST"])
def password_changed(request: HtmxRequest) -> HttpResponse:
    """Offer to revoke the user's API keys, which do not end with a password."""
    keys = ApiKey.objects.filter(user=request.user).usable(timezone.now()).select_related("account")
    if request.method == "POST":
        for key in keys:
            services.revoke_api_key(key)
        messages.success(request, "All your API keys are revoked.")
        return redirect("profile")
    if not keys:
        return redirect("profile")
    return render_page(request, "accounts/password_changed.html", {"keys": keys})
