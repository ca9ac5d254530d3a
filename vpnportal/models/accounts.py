"""Accounts, their members and invitations, and API keys."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.models.permissions import PermissionQuerySet, Role, Scope

INVITATION_LASTS = timedelta(days=7)


class AccountQuerySet(PermissionQuerySet["Account"]):
    """Accounts, with filters by the role that a user has in them."""


class Account(models.Model):
    """A customer, who owns tunnels and subnets.

    The quotas are the most that the account may have. None is the default of the site,
    `settings.QUOTAS`. The names of the columns are `max_` and the name there.
    """

    name = models.CharField(max_length=80, unique=True)
    max_tunnels = models.PositiveIntegerField(null=True, blank=True)
    max_translations = models.PositiveIntegerField(null=True, blank=True)
    max_subnets = models.PositiveIntegerField(null=True, blank=True)
    max_addresses = models.PositiveBigIntegerField(null=True, blank=True)
    max_api_keys = models.PositiveIntegerField(null=True, blank=True)
    max_invitations = models.PositiveIntegerField(null=True, blank=True)
    max_probes = models.PositiveIntegerField(null=True, blank=True)

    objects = AccountQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """The role of a user in an account."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role, default=Role.VIEWER)

    class Meta:
        constraints = [models.UniqueConstraint("account", "user", name="one_role_per_account")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role}) in {self.account}"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations, with filters for those that wait and those that can still be accepted."""

    def unanswered(self) -> InvitationQuerySet:
        """Return the invitations that are neither accepted nor revoked; some may have expired."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def open(self) -> InvitationQuerySet:
        """Return the unanswered invitations that count.

        Such an invitation has not expired, and its author may still invite: the author is active
        and owns the account.
        """
        return self.unanswered().filter(
            created_at__gt=timezone.now() - INVITATION_LASTS,
            author__is_active=True,
            account__memberships__user=models.F("author"),
            account__memberships__role=Role.OWNER,
        )


class Invitation(models.Model):
    """A single-use link to become a member of an account.

    The row stores the SHA-256 of the token in the link, not the token.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=8, choices=Role, default=Role.VIEWER)
    note = models.CharField(max_length=80, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.role} in {self.account}"

    @property
    def ends_at(self) -> datetime:
        """The time at which the link expires."""
        return self.created_at + INVITATION_LASTS


class MemberChange(models.Model):
    """A change of a member by an operator of the service, as the account's owners see it.

    `text` is a sentence such as "otto made ada Owner." It names users who may be deleted later.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="member_changes")
    operator = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    text = models.CharField(max_length=400)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.text


class Profile(models.Model):
    """Preferences of a user. `time_zone` is a name of the IANA time zone database."""

    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    time_zone = models.CharField(max_length=64, default="UTC")

    def __str__(self) -> str:
        return f"{self.user} in {self.time_zone}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """API keys, with filters for valid keys and for keys that a user may manage."""

    def usable(self, now: datetime) -> ApiKeyQuerySet:
        """Return the keys that authenticate at `now`.

        Such a key has begun, and is neither revoked nor expired. Its user is active and a member of
        the account.
        """
        return self.filter(
            models.Q(starts_at=None) | models.Q(starts_at__lte=now),
            models.Q(expires_at=None) | models.Q(expires_at__gt=now),
            revoked_at=None,
            user__is_active=True,
            account__memberships__user=models.F("user"),
        )

    def managed_by(self, user: User) -> ApiKeyQuerySet:
        """Return the user's own keys and all keys of the accounts that the user owns."""
        own_keys = models.Q(user=user, account__in=Account.objects.visible_to(user))
        return self.filter(own_keys | models.Q(account__in=Account.objects.owned_by(user)))


class ApiKey(models.Model):
    """A key that authenticates a program for one account, with the role of the key's user.

    `scope` limits that role. The row stores only the SHA-256 of the key. `sources` lists the client
    networks in CIDR notation that may use the key. An empty list permits every client address.
    `warned_at` is the time of the mail about the end of the key.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    account = models.ForeignKey(Account, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    sources = models.JSONField(default=list)
    scope = models.CharField(
        max_length=8, choices=Scope, default=Scope.ORDER, db_default=Scope.ORDER
    )
    created_at = models.DateTimeField(auto_now_add=True)
    starts_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Written at most once a minute: a busy script must not write a row per call.
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.CharField(max_length=45, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @property
    def pending(self) -> bool:
        """True if `starts_at` has not come yet."""
        return self.starts_at is not None and self.starts_at > timezone.now()

    @property
    def expired(self) -> bool:
        """True if `expires_at` has passed."""
        return self.expires_at is not None and self.expires_at <= timezone.now()
