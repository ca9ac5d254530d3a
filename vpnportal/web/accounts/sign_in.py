"""Sign-in: its page, its rate limit, and the answer to htmx requests of an expired session."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django_htmx.http import HttpResponseClientRefresh

TOO_MANY_REQUESTS = 429
# AXES_COOLOFF_TIME in the settings.
LOCKED_OUT = (
    "Too many failed sign-ins from your IP address. Sign-in from this address is blocked for ten "
    "minutes."
)


def locked_out(request: HttpRequest, *_: object, **__: object) -> HttpResponse:
    """Render the sign-in page with the duration of the lock-out, as 429 (RFC 6585)."""
    form = NameAndPassword(request)
    form.is_bound, form.cleaned_data = True, {}
    form.add_error(None, LOCKED_OUT)
    return render(request, "accounts/sign_in.html", {"form": form}, status=TOO_MANY_REQUESTS)


class NameAndPassword(AuthenticationForm):
    """Django's sign-in form with the labels that `bin/run` prints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["username"].label = "User name"


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page. The answer to an htmx request makes the browser reload the current page."""

    template_name = "accounts/sign_in.html"
    authentication_form = NameAndPassword
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().dispatch(request, *args, **kwargs)
