"""Events of sign-in, failed sign-in and sign-out, from the signals of django.contrib.auth.

A stranger can fail as often as a web server answers. So the first failure of a name is recorded at
once, and the further ones of its minute are counted in this process and recorded with the next one.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction

from vpnportal.models import Event, record_event
from vpnportal.request_context import acting_as

SECONDS = 60
PORTAL = "portal"
NO_NAME = "(none)"


class FailureCounter:
    """The failures of each name that have no event yet, and when the last event was recorded."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[float, int]] = {}

    def add(self, name: str, now: float) -> int:
        """Return the number of failures that an event is to tell of now, or 0."""
        since, waiting = self._names.get(name, (now - SECONDS, 0))
        if now - since < SECONDS:
            self._names[name] = (since, waiting + 1)
            return 0
        self._names.pop(name, None)
        self._names[name] = (now, 0)
        return waiting + 1

    def take_ended(self, now: float) -> list[tuple[str, int]]:
        """Remove the names whose minute is over, and return those with failures to record."""
        ended = [name for name, (since, _) in self._names.items() if now - since >= SECONDS]
        taken = [(name, self._names.pop(name)[1]) for name in ended]
        return [(name, waiting) for name, waiting in taken if waiting]


FAILURES = FailureCounter()


def connect() -> None:
    """Connect the signals."""
    user_logged_in.connect(_signed_in, dispatch_uid="event")
    user_login_failed.connect(_failed, dispatch_uid="event")
    user_logged_out.connect(_signed_out, dispatch_uid="event")


def _signed_in(user: User, **_: Any) -> None:
    with transaction.atomic():
        record_event(Event.Action.USER_SIGNED_IN, actor=user, subject=user.get_username())


def _signed_out(user: User | None, **_: Any) -> None:
    if user is not None:
        with transaction.atomic():
            record_event(Event.Action.USER_SIGNED_OUT, actor=user, subject=user.get_username())


def _failed(credentials: dict[str, Any], **_: Any) -> None:
    now = time.monotonic()
    # A name that is none may be a password that was typed into the wrong field.
    typed = str(credentials.get("username", ""))
    name = typed if User.objects.filter(username=typed).exists() else NO_NAME
    if count := FAILURES.add(name, now):
        _record(name, count)
    # Of other requests: this one's address is not theirs.
    with acting_as(PORTAL):
        for other, waiting in FAILURES.take_ended(now):
            _record(other, waiting)


def _record(name: str, count: int) -> None:
    with transaction.atomic():
        record_event(Event.Action.USER_SIGN_IN_FAILED, subject=name, result="refused", count=count)
