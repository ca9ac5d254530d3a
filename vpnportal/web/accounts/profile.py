"""The settings of a user: time zone and password."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from vpnportal.models import Profile
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, header, render_page


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
    return render_page(request, "accounts/profile.html", {"form": form}, status)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ChangePassword(PasswordChangeView):
    """Django's view of a password change, which ends all other sessions of the user."""

    template_name = "accounts/password.html"
    success_url = reverse_lazy("profile")

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(**header(cast(User, self.request.user)), **context)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        response = super().form_valid(form)
        messages.success(self.request, "Password changed. All other sessions are signed out.")
        return response
