"""Mails to users about changes of their accounts: members, roles, keys.

They go to confirmed addresses alone, and to no one without a mail server.
"""

from __future__ import annotations

from collections.abc import Iterable

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User

from vpnportal.maintenance.mail import request_mail
from vpnportal.models import Account, Role


def notify(users: Iterable[User], subject: str, text: str) -> None:
    """Queue a mail to the confirmed address of each user. Addresses are read in one query."""
    if not settings.MAIL_URL:
        return
    addresses = EmailAddress.objects.filter(user__in=[*users], verified=True, primary=True)
    for address in addresses.order_by("pk").values_list("email", flat=True):
        request_mail(address, subject, f"{text}\n")


def notify_owners(account: Account, subject: str, text: str, also: Iterable[User] = ()) -> None:
    """Queue a mail to the owners of an account, and to the users in `also`."""
    if settings.MAIL_URL:
        notify({*owners_of(account), *also}, subject, text)


def owners_of(account: Account) -> set[User]:
    """Return the active owners of an account."""
    owners = {"memberships__account": account, "memberships__role": Role.OWNER}
    return set(User.objects.filter(is_active=True, **owners))
