"""Signing in, and what an htmx request gets when its session is over."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import method_decorator
from django_htmx.http import HttpResponseClientRefresh


class NameAndPassword(AuthenticationForm):
    """Django's own, with the words that `bin/run` prints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["username"].label = "User name"


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page; a page whose session is over while it polls is loaded anew."""

    template_name = "sign_in.html"
    authentication_form = NameAndPassword
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().dispatch(request, *args, **kwargs)
