"""Changes of an account's members by operators of the service: a row and a mail for its owners."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.models import User

from vpnportal.maintenance.mail import request_mail
from vpnportal.models import Account, Role


def owners_addresses(account: Account) -> set[str]:
    """Return the e-mail addresses of the owners; an owner may have none."""
    owners = account.memberships.filter(role=Role.OWNER, user__is_active=True)
    return set(owners.exclude(user__email="").values_list("user__email", flat=True))


def tell_owners(
    account: Account, operator: User, changes: Iterable[str], also: Iterable[str] = ()
) -> None:
    """Store changes that an operator made to members, and mail them to the owners.

    A change is a phrase such as "made ada Owner". `also` has the addresses of former owners.
    """
    texts = [f"{operator.get_username()} {change}."[:400] for change in changes]
    for text in texts:
        account.member_changes.create(operator=operator, text=text)
    if not texts or not settings.MAIL_URL:
        return
    body = (
        f"An operator of the IPsec VPN portal changed the members of the account {account}:\n\n"
        + "\n".join(texts)
        + "\n\nThe page Accounts lists them. Ask the operators if you did not expect this.\n"
    )
    for address in sorted(owners_addresses(account) | set(also)):
        request_mail(address, f"Members of {account} were changed", body)
