"""Confirmation before operations that a session's thief must not do: password or second factor.

A sign-in and a confirmation count for ACCOUNT_REAUTHENTICATION_TIMEOUT seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from allauth.account.signals import authentication_step_completed
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from vpnportal.session_times import CONFIRMED
from vpnportal.web.responses import HtmxRequest

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
REPEAT = "Confirm that it is you. Then repeat what you did: nothing was changed."


def is_confirmed(request: HttpRequest) -> bool:
    """Return True if the user of this session signed in or confirmed a short time ago."""
    age = time.time() - request.session.get(CONFIRMED, 0)
    return bool(age < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


def confirmed(view: View) -> View:
    """Decorate a view that needs a confirmation.

    Without one the answer leads to the page that asks for it, and from there back. htmx gets an
    answer that makes the browser go there.
    """

    @wraps(view)
    def checked(request: HtmxRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated or is_confirmed(request):
            return view(request, *args, **kwargs)
        is_page = request.method in ("GET", "HEAD") and not request.htmx
        if not is_page:
            messages.warning(request, REPEAT)
        back = request.get_full_path() if is_page else _page_of(request)
        url = f"{reverse('account_reauthenticate')}?{urlencode({'next': back})}"
        return HttpResponseClientRedirect(url) if request.htmx else redirect(url)

    return cast("View", checked)


def _page_of(request: HtmxRequest) -> str:
    """Return the path of the page on which the user sent a form."""
    page = urlsplit(request.htmx.current_url or request.headers.get("Referer", ""))
    path = page.path if page.netloc == request.get_host() else ""
    return f"{path}?{page.query}" if path and page.query else path or reverse("tunnels")


@receiver(authentication_step_completed)
def _note(request: HttpRequest, user: User, reauthenticated: bool = False, **_: object) -> None:
    if reauthenticated:
        request.session[CONFIRMED] = time.time()
        # The check of a password replaces an old kind of hash, by which this session would end.
        stored = User.objects.get(pk=user.pk)
        request.session[HASH_SESSION_KEY] = stored.get_session_auth_hash()
