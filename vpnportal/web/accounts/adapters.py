"""The portal's decisions for django-allauth: limits of guesses, mails, sealed second factors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context as current
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from vpnportal import services
from vpnportal.encryption import SECOND_FACTOR, seal, unseal
from vpnportal.http import client_address
from vpnportal.maintenance.mail import request_mail
from vpnportal.models import UserIdentity
from vpnportal.web.accounts import known_browsers
from vpnportal.web.accounts.confirmation import is_confirmed

WRONG = "The user name or the password is wrong. Both distinguish upper and lower case."
NETWORK_BLOCKED = (
    "Too many failed sign-ins from your IP address. Sign-in from this address is blocked for {}."
)
NAME_BLOCKED = (
    "Too many failed sign-ins with this user name. Try again in {}, or sign in with a browser in "
    "which you signed in before."
)
TOO_MANY = "too_many"
# A user without an address for mails is asked for one again after this time.
ASKED_AGAIN = timedelta(days=7)


class Accounts(DefaultAccountAdapter):
    """Sign-in with the limits of `services.sign_in_limits`, and mails through `maintenance`."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "incorrect_password": "The password is wrong.",
        "enter_current_password": "The password is wrong.",
        "too_many_login_attempts": "Too many wrong codes. Try again in ten minutes.",
        "rate_limited": "Too many wrong codes. Try again in ten minutes.",
        "incorrect_code": "The code is wrong, or was used before.",
        "duplicate_email": "This is your address already.",
    }

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return the user of a name and a password, or None.

        Raises ValidationError with the code TOO_MANY without an evaluation of the password.
        """
        name, address = credentials.get("username", ""), client_address(request)
        try:
            browser = known_browsers.browser_id(request, name)
            attempt = services.begin_attempt(address, name, browser)
        except services.TooManyAttempts as refused:
            services.note_failure(name)
            request.is_sign_in_blocked = True  # type: ignore[attr-defined]
            user_login_failed.send(__name__, credentials={"username": name}, request=request)
            raise ValidationError(_refusal(refused), TOO_MANY) from None
        user = authenticate(request, username=name, password=credentials.get("password", ""))
        if isinstance(user, User):
            attempt.succeeded()
            return user
        services.note_failure(name)
        return None

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **options)
        if failed := services.note_sign_in(user):
            text = "1 failed sign-in" if failed == 1 else f"{failed:,} failed sign-ins"
            messages.warning(request, f"{text} with your user name since you were here last.")
        if _should_ask_for_address(user):
            query = urlencode({"next": response["Location"]})
            response = redirect(f"{reverse('account_email')}?{query}")
        if known_browsers.remember(request, response, user) and not options.get("signup"):
            self.send_notification_mail("account/email/new_browser", user)
        return response

    def get_client_ip(self, request: HttpRequest) -> str:
        # A server on a Unix socket without a proxy knows no address; a session needs one.
        return client_address(request) or "::"

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not is_confirmed(current.request)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("password-changed")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Store a mail, which the portal's worker sends. Without a mail server there is none."""
        if settings.MAIL_URL:
            values = {"request": current.request, "email": email, **context}
            mail = self.render_mail(template_prefix, email, values)
            request_mail(email, str(mail.subject), f"{mail.body}\n")


class SecondFactors(DefaultMFAAdapter):
    """Second factors whose secrets are sealed with the portal's key."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "The code is wrong, or was used before.",
        "unverified_email": "Confirm your e-mail address first, or remove it.",
    }

    def encrypt(self, text: str) -> str:
        return seal(text, SECOND_FACTOR)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, SECOND_FACTOR)

    def get_totp_label(self, user: User) -> str:
        return user.get_username()

    def get_totp_issuer(self) -> str:
        return f"vpnportal {current.request.get_host()}"

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"


def _refusal(refused: services.TooManyAttempts) -> str:
    minutes = max(1, round((refused.until - timezone.now()).total_seconds() / 60))
    duration = {1: "1 minute", 10: "ten minutes"}.get(minutes, f"{minutes} minutes")
    text = NETWORK_BLOCKED if refused.rule is services.NETWORK else NAME_BLOCKED
    return text.format(duration)


def _should_ask_for_address(user: User) -> bool:
    """Return True, and note the time, if the user has no confirmed address and is to be asked."""
    if not settings.MAIL_URL or EmailAddress.objects.filter(user=user, verified=True).exists():
        return False
    now = timezone.now()
    asked = UserIdentity.objects.filter(user=user).exclude(email_asked_at__gt=now - ASKED_AGAIN)
    return bool(asked.update(email_asked_at=now))
