"""Users: the skeletons of their names, and the counters that limit guesses at their passwords."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, models
from django.db.models.signals import post_save
from django.dispatch import receiver

from vpnportal.user_names import TAKEN, skeleton_of


class UserIdentity(models.Model):
    """Skeleton of a user's name, and failed sign-ins, besides Django's row and `Profile`.

    `name_skeleton` is null if another user had the same one before skeletons were compared.
    `failed_sign_ins` counts wrong passwords since the last sign-in, `failed_before` those before.
    """

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="identity")
    name_skeleton = models.CharField(max_length=600, unique=True, null=True)  # noqa: DJ001
    failed_sign_ins = models.PositiveIntegerField(default=0)
    failed_before = models.PositiveIntegerField(default=0)
    email_asked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "user identities"

    def __str__(self) -> str:
        return f"Identity of {self.user}"


class AttemptCounter(models.Model):
    """Attempts to guess a secret from one network, for one user name, or by one browser.

    `key` names the kind of counter and a digest of its subject.
    """

    key = models.CharField(max_length=80, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.count} attempts of {self.key}"


class LimitEntry(models.Model):
    """A value of `limits_cache.LimitsCache`, which ends at `ends_at`."""

    key = models.CharField(max_length=255, primary_key=True)
    value = models.JSONField()
    ends_at = models.DateTimeField(db_index=True)
    writer = models.UUIDField(null=True)

    class Meta:
        verbose_name_plural = "limit entries"

    def __str__(self) -> str:
        return self.key


def is_similar_to_another(name: str, user_id: int | None = None) -> bool:
    """Return True if another user's name has the skeleton of `name`."""
    similar = UserIdentity.objects.filter(name_skeleton=skeleton_of(name))
    return (similar.exclude(user=user_id) if user_id else similar).exists()


@receiver(post_save, sender=User)
def keep_skeleton(
    instance: User, created: bool, raw: bool, update_fields: Any, **_: object
) -> None:
    """Store the skeleton of a new or changed user name.

    Raises IntegrityError for a new user whose name is too similar to another one.
    """
    if raw or (update_fields is not None and "username" not in update_fields):
        return
    skeleton: str | None = skeleton_of(instance.username)
    stored = UserIdentity.objects.filter(user=instance)
    if stored.filter(name_skeleton=skeleton).exists():
        return
    if is_similar_to_another(instance.username, instance.pk):
        if created:
            raise IntegrityError(TAKEN)
        skeleton = None
    UserIdentity.objects.update_or_create(user=instance, defaults={"name_skeleton": skeleton})
