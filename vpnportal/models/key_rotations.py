"""Rotations of preshared keys: a time in which a concentrator accepts the old and the new key."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.models.tunnels import Tunnel


class KeyRotation(models.Model):
    """The rotation of a tunnel's preshared key, from its begin to its end.

    The keys are in the live revision: `preshared_key` is the old one, `next_key` the new one. The
    monitor writes `signs_with`, the key with which the concentrator is to authenticate, and
    `used`, the key with which the peer authenticated last ("" if it did not yet), at `used_at`. The
    worker writes `loaded`, the value of `signs_with` that charon has since `loaded_at` or earlier.
    """

    class Key(models.TextChoices):
        OLD = "old", "old"
        NEW = "new", "new"

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="key_rotation")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    began_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(db_index=True)
    signs_with = models.CharField(max_length=3, choices=Key, default=Key.OLD)
    loaded = models.CharField(max_length=3, choices=Key, blank=True, default="")
    loaded_at = models.DateTimeField(null=True)
    used = models.CharField(max_length=3, choices=Key, blank=True, default="")
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"key rotation of {self.tunnel_id}"

    @property
    def is_over(self) -> bool:
        """True if its time is over. The old key stays until the peer was seen with the new one."""
        return timezone.now() >= self.ends_at

    @property
    def peer_has_new_key(self) -> bool:
        """True if the peer authenticated with the new key last."""
        return self.used == self.Key.NEW
