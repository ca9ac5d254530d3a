"""Signing in, how often one may try, and what an htmx request gets when its session is over."""

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
TOO_MANY = (
    "Too many wrong passwords came from your address: nobody can sign in from there for ten "
    "minutes."
)


def locked_out(request: HttpRequest, *_: object, **__: object) -> HttpResponse:
    """The sign-in page again, with how long it takes; 429 (RFC 6585)."""
    form = NameAndPassword(request)
    form.is_bound, form.cleaned_data = True, {}
    form.add_error(None, TOO_MANY)
    return render(request, "accounts/sign_in.html", {"form": form}, status=TOO_MANY_REQUESTS)


class NameAndPassword(AuthenticationForm):
    """Django's own, with the words that `bin/run` prints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["username"].label = "User name"


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page; a page whose session is over while it polls is loaded anew."""

    template_name = "accounts/sign_in.html"
    authentication_form = NameAndPassword
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().dispatch(request, *args, **kwargs)
