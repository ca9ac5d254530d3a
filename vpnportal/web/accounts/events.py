"""Events of second factors, passwords, addresses and sessions, by signals of django-allauth."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.models import EmailAddress
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction
from django.dispatch import receiver

from vpnportal.models import Event, record_event


@receiver(mfa.authenticator_added)
@receiver(mfa.authenticator_reset)
def _factor_added(user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(Event.Action.USER_SECOND_FACTOR_ADDED, user, {"kind": authenticator.type})


@receiver(mfa.authenticator_removed)
def _factor_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(Event.Action.USER_SECOND_FACTOR_REMOVED, user, {"kind": authenticator.type})


@receiver(mfa.authentication_failed)
def _code_refused(user: User, authenticator: Authenticator, **_: Any) -> None:
    values = {"kind": authenticator.type}
    _record(Event.Action.USER_SIGN_IN_FAILED, user, values, Event.Result.REFUSED)


@receiver(account.password_changed)
@receiver(account.password_set)
def _password_changed(user: User, **_: Any) -> None:
    _record(Event.Action.USER_PASSWORD_CHANGED, user)


@receiver(account.password_reset)
def _password_reset(user: User, **_: Any) -> None:
    _record(Event.Action.USER_PASSWORD_CHANGED, user, {"by": "a link from a mail"})


@receiver(account.email_confirmed)
def _address_confirmed(email_address: EmailAddress, **_: Any) -> None:
    _record(Event.Action.USER_CHANGED, email_address.user, {"email": email_address.email})


def record_session_end(user: User, count: int) -> None:
    """Record that a user ended sessions by hand."""
    _record(Event.Action.USER_SESSION_ENDED, user, count=count)


def _record(
    action: str,
    user: User,
    after: dict[str, str] | None = None,
    result: str = Event.Result.DONE,
    count: int = 1,
) -> None:
    with transaction.atomic():
        record_event(
            action, actor=user, subject=user.get_username(), after=after, result=result, count=count
        )
