"""Who edited what of a draft last, what was set aside, who saw its key, what was asked for."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.domain.frozen import thaw
from vpnportal.domain.spec import TunnelSpec
from vpnportal.fields import SealedField
from vpnportal.models.tunnels import Tunnel


class LastEdit(models.Model):
    """The last write to one field of a draft: whoever writes next is told who was before."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="last_edits")
    field = models.CharField(max_length=40)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("tunnel", "field", name="one_last_edit_per_field")]

    def __str__(self) -> str:
        return f"{self.field} of {self.tunnel_id} by {self.author}"


class SetAside(models.Model):
    """The draft as it was before somebody discarded or restored over it: what undo brings back.

    `what` tells which of the two it was. It counts until the draft is edited again.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="set_aside")
    specification = SealedField()
    what = models.CharField(max_length=80)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"draft of {self.tunnel_id} from {self.at}"

    @staticmethod
    def context(tunnel_id: int) -> str:
        """What the specification of this row is sealed to."""
        return f"tunnel {tunnel_id} draft set aside"

    def spec(self) -> TunnelSpec:
        """The draft that it was, with its preshared key."""
        return thaw(self.specification.open(self.context(self.tunnel_id)))


class KeyReveal(models.Model):
    """Somebody was shown the preshared key of a draft."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="key_reveals")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"key of {self.tunnel_id} shown to {self.author}"


class Wish(models.Model):
    """Something to be done once with what runs of a tunnel; its concentrator's worker does it.

    `done_at` and `ok` are None until then; `text` says what came of it, and `steps` what was done,
    as in `Revision`.
    """

    class Kind(models.TextChoices):
        CONNECT = "connect", "connect"
        DISCONNECT = "disconnect", "disconnect"
        REKEY = "rekey", "renew the keys"
        RECONNECT = "reconnect", "negotiate anew"

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="wishes")
    kind = models.CharField(max_length=10, choices=Kind)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True)
    ok = models.BooleanField(null=True)
    text = models.TextField(blank=True)
    steps = models.JSONField(default=list)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.tunnel_id}"

    @property
    def age(self) -> timedelta:
        """How long ago somebody asked; long ago if a clock that was set back says later."""
        return abs(timezone.now() - self.asked_at)
