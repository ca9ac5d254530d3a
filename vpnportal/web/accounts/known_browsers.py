"""The cookie of browsers in which a user signed in before.

It gives no access. Guesses of strangers do not delay the user's own sign-in from such a browser
(`services.sign_in_limits`), and the user gets a mail about a sign-in from another one.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest, HttpResponseBase

COOKIE = "known_browser"
SALT = "vpnportal known browser"
LASTS = timedelta(days=400)
# Users of one browser, those who signed in last.
MOST_USERS = 5
ID_BYTES = 12


def browser_id(request: HttpRequest, name: str) -> str:
    """Return the id of this browser for the user of a name, or "" if the user is new to it."""
    stored = _stored(request)
    user = User.objects.filter(username=name).only("pk").first() if stored else None
    return stored.get(str(user.pk), "") if user else ""


def remember(request: HttpRequest, response: HttpResponseBase, user: User) -> bool:
    """Set the cookie after a sign-in. Return True if the user is new to this browser."""
    stored, key = _stored(request), str(user.pk)
    earlier = stored.pop(key, "")
    users = dict([*stored.items()][1 - MOST_USERS :])
    users[key] = earlier or secrets.token_urlsafe(ID_BYTES)
    response.set_cookie(
        COOKIE,
        signing.dumps(users, salt=SALT),
        max_age=LASTS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return not earlier


def _stored(request: HttpRequest) -> dict[str, str]:
    """Return the ids in the cookie by primary key of their users."""
    try:
        stored = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        return {}
    return {str(key): str(value) for key, value in stored.items()}
