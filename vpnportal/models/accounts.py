"""Customers, the people who act for them, and the keys of their programs."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.utils import timezone

INVITATION_LASTS = timedelta(days=7)


class AccountQuerySet(models.QuerySet["Account"]):
    """Lookup and permission in one."""

    def visible_to(self, user: User | AnonymousUser) -> AccountQuerySet:
        """The accounts that this person belongs to; none for nobody."""
        # In a filter None would mean "accounts without any member".
        return self.filter(memberships__user_id=user.pk) if user.pk else self.none()

    def editable_by(self, user: User | AnonymousUser) -> AccountQuerySet:
        """Those among them whose tunnels this person's role allows to change and apply."""
        if user.pk is None:
            return self.none()
        roles = (Membership.Role.OPERATOR, Membership.Role.OWNER)
        return self.filter(memberships__user_id=user.pk, memberships__role__in=roles)

    def owned_by(self, user: User | AnonymousUser) -> AccountQuerySet:
        """Those among them whose members this person manages, and for which they order."""
        if user.pk is None:
            return self.none()
        return self.filter(memberships__user_id=user.pk, memberships__role=Membership.Role.OWNER)


class Account(models.Model):
    """A customer: owns tunnels and subnets, and is a stranger to every other account."""

    name = models.CharField(max_length=80, unique=True)

    objects = AccountQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What a person may do in an account."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        OPERATOR = "operator", "Operator"
        OWNER = "owner", "Owner"

    account = models.ForeignKey(Account, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role, default=Role.VIEWER)

    class Meta:
        constraints = [models.UniqueConstraint("account", "user", name="one_role_per_account")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role}) in {self.account}"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Which invitations still let somebody in."""

    def open(self) -> InvitationQuerySet:
        """Neither taken nor withdrawn nor too old."""
        since = timezone.now() - INVITATION_LASTS
        return self.filter(accepted_at=None, withdrawn_at=None, created_at__gt=since)


class Invitation(models.Model):
    """Lets whoever has its link join an account, once; only the SHA-256 of the link is kept."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=8, choices=Membership.Role, default=Membership.Role.VIEWER)
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
        """From then on the link lets nobody in."""
        return self.created_at + INVITATION_LASTS


class Profile(models.Model):
    """What a person prefers: `time_zone` is a name of the IANA database."""

    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    time_zone = models.CharField(max_length=64, default="UTC")

    def __str__(self) -> str:
        return f"{self.user} in {self.time_zone}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Which keys still let a program in, and whose they are to manage."""

    def usable(self, now: datetime) -> ApiKeyQuerySet:
        """Neither revoked nor expired, of a user who may sign in and belongs to the account."""
        return self.filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=now),
            revoked_at=None,
            user__is_active=True,
            account__memberships__user=models.F("user"),
        )

    def managed_by(self, user: User) -> ApiKeyQuerySet:
        """A person's own keys, and all keys of the accounts that they own."""
        mine = models.Q(user=user, account__in=Account.objects.visible_to(user))
        return self.filter(mine | models.Q(account__in=Account.objects.owned_by(user)))


class ApiKey(models.Model):
    """A program's key to one account: only its SHA-256 is kept, it acts with its user's role.

    `sources` are networks in CIDR notation that it is accepted from, none for anywhere.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    account = models.ForeignKey(Account, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    sources = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Written once a minute at most.
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.CharField(max_length=45, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()
