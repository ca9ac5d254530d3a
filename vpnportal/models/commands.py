"""Who edited what of a draft last, what was set aside, who saw its key, what was asked for."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import models

from vpnportal.clock import age_of
from vpnportal.models.tunnels import Tunnel


class TunnelCommand(models.Model):
    """Something to be done once with what runs of a tunnel; its concentrator's worker does it.

    `done_at` and `ok` are None until then; `text` says what came of it, and `steps` what was done,
    as in `Revision`.
    """

    class Kind(models.TextChoices):
        CONNECT = "connect", "connect"
        DISCONNECT = "disconnect", "disconnect"
        REKEY = "rekey", "renew the keys"
        RECONNECT = "reconnect", "negotiate anew"

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="commands")
    kind = models.CharField(max_length=10, choices=Kind)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
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
        return age_of(self.requested_at)


class PeerProbe(models.Model):
    """Somebody asked what a tunnel's peer accepts; the concentrator's worker writes the answer.

    `answer` is {field of the draft: value}; `steps` a list of {"at", "text", "ok"}.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        ASKING = "asking", "asking"
        ANSWERED = "answered", "answered"
        FAILED = "failed", "failed"

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="peer_probes")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    answer = models.JSONField(default=dict)
    steps = models.JSONField(default=list)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"question {self.pk} about {self.tunnel_id}"
