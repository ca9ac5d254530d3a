"""The ends of sessions: without a request of their user, and after a time in any case."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from vpnportal.session_times import ACTIVE, SIGNED_IN

# Pages request these without their user.
POLLS = {"news", "state", "standing", "status", "answer", "import-progress"}
# A session is written at most this often.
SECONDS_BETWEEN_WRITES = 300


class SessionEnds:
    """Middleware that signs out a session at its end, and keeps pages of users out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if request.user.is_authenticated and "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """End the session if it is over; else note the request, unless it is a poll."""
        if not request.user.is_authenticated:
            return
        now, session = time.time(), request.session
        if _is_over(session, now):
            logout(request)
        elif (request.resolver_match and request.resolver_match.url_name) not in POLLS:
            _note_activity(request, now)


def _is_over(session: SessionBase, now: float) -> bool:
    is_idle = now - session.get(ACTIVE, now) > settings.SESSION_IDLE.total_seconds()
    is_old = now - session.get(SIGNED_IN, now) > settings.SESSION_LASTS.total_seconds()
    return is_idle or is_old


def _note_activity(request: HttpRequest, now: float) -> None:
    session = request.session
    if now - session.get(ACTIVE, 0) < SECONDS_BETWEEN_WRITES:
        return
    session[ACTIVE] = now
    session.setdefault(SIGNED_IN, now)
    rows = UserSession.objects.filter(session_key=session.session_key)
    if not rows.update(last_seen_at=timezone.now(), ip=get_adapter().get_client_ip(request)):
        UserSession.objects.create_from_request(request)
