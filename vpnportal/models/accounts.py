"""Customers, the people who act for them, and the keys of their programs."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models


class Account(models.Model):
    """A customer: owns tunnels and subnets, and is a stranger to every other account."""

    name = models.CharField(max_length=80, unique=True)

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


class Profile(models.Model):
    """What a person prefers: `time_zone` is a name of the IANA database."""

    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    time_zone = models.CharField(max_length=64, default="UTC")

    def __str__(self) -> str:
        return f"{self.user} in {self.time_zone}"


class ApiKey(models.Model):
    """A program's key: only its SHA-256 is kept, and it acts with its user's roles."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
