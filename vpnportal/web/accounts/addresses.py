"""The page of a user's e-mail address, which counts once its link is followed."""

from __future__ import annotations

from typing import Any

from allauth.account.utils import get_next_redirect_url
from allauth.account.views import EmailView
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import method_decorator

from vpnportal.web.accounts.confirmation import confirmed


@method_decorator(confirmed, name="post")
class Address(EmailView):
    """The page of the address. `later_url` is the page after it for a user who enters none."""

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        more = {
            "sends_mail": bool(settings.MAIL_URL),
            "later_url": get_next_redirect_url(self.request),
        }
        return {**super().get_context_data(**context), **more}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().post(request, *args, **kwargs)
        return response
