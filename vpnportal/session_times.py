"""The times that each session holds: of its sign-in, last request and last confirmation."""

from __future__ import annotations

import time

from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

# Keys of a session; each value is a time in seconds since 1970.
SIGNED_IN, ACTIVE, CONFIRMED = "signed_in_at", "active_at", "confirmed_at"


def connect() -> None:
    """Connect the signal of a sign-in, by which a session begins."""
    user_logged_in.connect(_begin, dispatch_uid="session times")


def _begin(request: HttpRequest, **_: object) -> None:
    now = time.time()
    request.session.update({SIGNED_IN: now, ACTIVE: now, CONFIRMED: now})
