"""Who belongs to an account, and as what: invited, given another role, removed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, ApiKey, Invitation, Membership, Role
from vpnportal.services import api_keys
from vpnportal.services.errors import Refused

# 256 bits: whoever guesses finds nothing.
TOKEN_BYTES = 32
# Each is a door; forgotten ones are withdrawn before more are made.
OPEN_AT_MOST = 20
LAST_OWNER = "An account needs an owner: make somebody else one first."


def invite(account: Account, role: str, note: str, author: User) -> str:
    """The token of a new invitation, which is kept nowhere; `note` says whom it is for."""
    with lock_account(account):
        if account.invitations.open().count() >= OPEN_AT_MOST:
            text = f"There are {OPEN_AT_MOST} open invitations: withdraw one that is not needed."
            raise Refused(Problem("role", text))
        token = secrets.token_urlsafe(TOKEN_BYTES)
        account.invitations.create(role=Role(role), note=note, digest=_digest(token), author=author)
    return token


def invitation_of(token: str) -> Invitation | None:
    """The open invitation that a link is for."""
    found = Invitation.objects.open().filter(digest=_digest(token))
    return found.select_related("account", "author").first()


def accept(token: str, user: User) -> Account:
    """Join; Refused for a link that was used, and for somebody who belongs there already."""
    invitation = invitation_of(token)
    if invitation is None:
        raise Refused(Problem("", "This invitation was used, withdrawn or is too old."))
    account = invitation.account
    with lock_account(account):
        if account.memberships.filter(user=user).exists():
            raise Refused(Problem("", f"{user} belongs to {account} already."))
        now = timezone.now()
        still_open = Invitation.objects.open().filter(pk=invitation.pk)
        if not still_open.update(accepted_at=now, accepted_by=user):
            raise Refused(Problem("", "This invitation was used a moment ago."))
        account.memberships.create(user=user, role=invitation.role)
    return account


def revoke_invitation(invitation: Invitation) -> None:
    """Its link lets nobody in any more."""
    Invitation.objects.open().filter(pk=invitation.pk).update(withdrawn_at=timezone.now())


def set_role(membership: Membership, role: str) -> None:
    """What the member may do from the next request on; Refused for the last owner."""
    with lock_account(membership.account):
        if role != Role.OWNER:
            refuse_last_owners(membership.account, [membership.pk])
        Membership.objects.filter(pk=membership.pk).update(role=Role(role))
    membership.role = role


def remove(membership: Membership) -> None:
    """From the next request on the account is a stranger's; Refused for the last owner.

    Keys are revoked: whoever is invited again one day makes new ones.
    """
    with lock_account(membership.account):
        refuse_last_owners(membership.account, [membership.pk])
        for key in ApiKey.objects.filter(account=membership.account, user=membership.user):
            api_keys.revoke(key)
        Membership.objects.filter(pk=membership.pk).delete()


def refuse_last_owners(account: Account, leaving: Iterable[int]) -> None:
    """Refused if nobody owns the account but these memberships; inside `alone`."""
    owners = account.memberships.filter(role=Role.OWNER)
    if not owners.exclude(pk__in=leaving).exists():
        raise Refused(Problem("role", LAST_OWNER))


@contextmanager
def lock_account(account: Account) -> Iterator[None]:
    """Nobody else changes the members of an account inside this block."""
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        yield


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
