"""Members of an account: invitations, roles, removal."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.maintenance.mail import request_mail
from vpnportal.models import (
    Account,
    ApiKey,
    Event,
    Invitation,
    Membership,
    Role,
    record_event,
    row_locks,
)
from vpnportal.models.accounts import INVITATION_LASTS
from vpnportal.services.api_keys import revoke_api_key
from vpnportal.services.errors import Refused
from vpnportal.services.notices import notify_owners
from vpnportal.services.quotas import Quota, refuse_over_quota

# 256 bits: no guess succeeds.
TOKEN_BYTES = 32
# No other person's address is to be flooded by inviting and revoking.
MAX_MAILS_A_DAY = 50
LAST_OWNER = "An account needs an owner. Make another member an owner first."


def invite(account: Account, role: str, note: str, author: User) -> str:
    """Create an invitation and return its token, which the database does not hold.

    `note` names the invited person. Raises Refused by the account's quota.
    """
    with lock_account(account):
        # Every link gives access: the quota makes owners revoke forgotten invitations.
        refuse_over_quota(account.pk, Quota.INVITATIONS, field="role")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        account.invitations.create(role=Role(role), note=note, digest=_digest(token), author=author)
        record_event(
            Event.Action.ACCOUNT_INVITED,
            actor=author,
            account=account,
            subject=note,
            after={"role": role},
        )
    return token


def mail_invitation(address: str, account: Account, link: str, author: User) -> None:
    """Queue a mail with the link of an invitation to an e-mail address.

    Raises Refused if `address` is none, and after MAX_MAILS_A_DAY invitations to the account.
    """
    try:
        validate_email(address)
    except ValidationError:
        text = "Enter an e-mail address such as name@example.com, or leave the field empty."
        raise Refused(Problem("email", text)) from None
    today = timezone.now() - timedelta(days=1)
    if account.invitations.filter(created_at__gt=today).count() > MAX_MAILS_A_DAY:
        text = (
            f"The limit is {MAX_MAILS_A_DAY} invitations by mail in 24 hours. "
            "Create a link without an address, and send it yourself."
        )
        raise Refused(Problem("email", text))
    request_mail(
        address,
        f"Invitation to {account}",
        f"{author.get_username()} invites you to the account {account} of the IPsec VPN portal.\n\n"
        f"{link}\n\n"
        f"The link can be used once, within {INVITATION_LASTS.days} days.\n",
    )


def invitation_of(token: str) -> Invitation | None:
    """Return the open invitation with this token, or None."""
    invitations = Invitation.objects.open().filter(digest=_digest(token))
    return invitations.select_related("account", "author").first()


def accept_invitation(token: str, user: User) -> Account:
    """Make the user a member of the account.

    Raises Refused if the invitation is not open or the user is already a member.
    """
    invitation = invitation_of(token)
    if invitation is None:
        raise Refused(Problem("", "This invitation was used, was revoked or has expired."))
    account = invitation.account
    with lock_account(account):
        if account.memberships.filter(user=user).exists():
            raise Refused(Problem("", f"{user} is already a member of {account}."))
        still_open = Invitation.objects.open().filter(pk=invitation.pk)
        if not still_open.update(accepted_at=timezone.now(), accepted_by=user):
            raise Refused(Problem("", "This invitation was used a moment ago."))
        account.memberships.create(user=user, role=invitation.role)
        record_event(
            Event.Action.ACCOUNT_INVITATION_ACCEPTED,
            actor=user,
            account=account,
            subject=user.get_username(),
            after={"role": invitation.role},
        )
        text = f"{user} accepted an invitation to {account}, as {Role(invitation.role).label}."
        notify_owners(account, f"New member of {account}", text)
    return account


def revoke_invitation(invitation: Invitation) -> None:
    """Revoke an invitation. Its link no longer works."""
    with transaction.atomic():
        unanswered = Invitation.objects.unanswered().filter(pk=invitation.pk)
        if unanswered.update(withdrawn_at=timezone.now()):
            record_event(
                Event.Action.ACCOUNT_INVITATION_REVOKED,
                account=invitation.account,
                subject=invitation.note,
                before={"role": invitation.role},
            )


def set_member_role(membership: Membership, role: str) -> None:
    """Give a member another role from the next request on. Raises Refused for the last owner.

    A member who stops being an owner loses the open invitations, even if they become owner again.
    """
    with lock_account(membership.account):
        if role != Role.OWNER:
            refuse_last_owners(membership.account, [membership.pk])
            withdraw_invitations(membership.user, membership.account)
        saved = Membership.objects.filter(pk=membership.pk)
        earlier = saved.values_list("role", flat=True).first()
        if saved.update(role=Role(role)):
            record_event(
                Event.Action.ACCOUNT_MEMBER_ROLE_CHANGED,
                account=membership.account,
                subject=membership.user.get_username(),
                before={"role": earlier},
                after={"role": role},
            )
            text = f"{membership.user} now has the role {Role(role).label} in {membership.account}."
            _notify(membership, f"New role in {membership.account}", text)
    membership.role = role


def remove_member(membership: Membership) -> None:
    """Remove a member with all that the member handed out. Raises Refused for the last owner."""
    with lock_account(membership.account):
        refuse_last_owners(membership.account, [membership.pk])
        withdraw_access(membership.user, membership.account)
        if Membership.objects.filter(pk=membership.pk).delete()[0]:
            record_event(
                Event.Action.ACCOUNT_MEMBER_REMOVED,
                account=membership.account,
                subject=membership.user.get_username(),
                before={"role": membership.role},
            )
            text = f"{membership.user} is no longer a member of {membership.account}."
            _notify(membership, f"A member of {membership.account} was removed", text)


def withdraw_access(user: User, account: Account | None = None) -> None:
    """Revoke the user's API keys and open invitations, of one account or of all.

    They stay revoked if the user joins again or is activated again.
    """
    keys = ApiKey.objects.filter(user=user)
    for key in keys.filter(account=account) if account else keys:
        revoke_api_key(key)
    withdraw_invitations(user, account)


def withdraw_invitations(author: User, account: Account | None = None) -> None:
    """Revoke the author's unanswered invitations, to one account or to all."""
    invitations = Invitation.objects.unanswered().filter(author=author)
    if account:
        invitations = invitations.filter(account=account)
    for invitation in invitations.select_related("account"):
        revoke_invitation(invitation)


def refuse_last_owners(account: Account, leaving: Iterable[int]) -> None:
    """Raise Refused if the account would have no owner without the memberships in `leaving`.

    `leaving` has membership ids. The caller must hold `lock_account`.
    """
    owners = account.memberships.filter(role=Role.OWNER)
    if not owners.exclude(pk__in=leaving).exists():
        raise Refused(Problem("role", LAST_OWNER))


@contextmanager
def lock_account(account: Account) -> Iterator[None]:
    """Lock the members of an account against other transactions."""
    with transaction.atomic():
        row_locks.lock_account(account.pk)
        yield


def _notify(membership: Membership, subject: str, text: str) -> None:
    notify_owners(membership.account, subject, text, also=[membership.user])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
