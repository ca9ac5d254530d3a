"""Changes of an account's members by operators of the service: a row and a mail for its owners."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User

from vpnportal.models import Account
from vpnportal.services.notices import notify_owners


def tell_owners(
    account: Account, operator: User, changes: Iterable[str], also: Iterable[User] = ()
) -> None:
    """Store changes that an operator made to members, and mail them to the owners.

    A change is a phrase such as "made ada Owner". `also` are the former owners.
    """
    texts = [f"{operator.get_username()} {change}."[:400] for change in changes]
    for text in texts:
        account.member_changes.create(operator=operator, text=text)
    if texts:
        body = (
            f"An operator of the IPsec VPN portal changed the members of the account {account}:\n\n"
            + "\n".join(texts)
            + "\n\nThe page Accounts lists them. Ask the operators if you did not expect this."
        )
        notify_owners(account, f"Members of {account} were changed", body, also)
