"""Sign-in: its page, the page of a forgotten password, and the answer to htmx without a session."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView, LogoutView, PasswordChangeView, PasswordResetView
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django_htmx.http import HttpResponseClientRefresh

from vpnportal.web.accounts.adapters import TOO_MANY
from vpnportal.web.accounts.forms import SignInForm

TOO_MANY_REQUESTS = 429


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page. The answer to an htmx request makes the browser reload the current page."""

    form_class = SignInForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        """Render the form: 429 (RFC 6585) if the password was not evaluated."""
        response: HttpResponse = super().form_invalid(form)
        if form.has_error("__all__", TOO_MANY):
            response.status_code = TOO_MANY_REQUESTS
        return response


@method_decorator(login_not_required, name="dispatch")
class SignOut(LogoutView):
    """Sign-out by POST alone."""

    http_method_names = ["post"]


class ChangePassword(PasswordChangeView):
    """The page to change a password. A user without one gets it as for a forgotten password."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not request.user.has_usable_password():
            return redirect("account_reset_password")
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response


@method_decorator(login_not_required, name="dispatch")
class ForgottenPassword(PasswordResetView):
    """The page of a forgotten password. Without a mail server it names the operators."""

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {**super().get_context_data(**context), "sends_mail": bool(settings.MAIL_URL)}
