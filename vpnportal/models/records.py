"""What the concentrators' side wrote down: repairs, what was heard, used, and answered."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from vpnportal.models.places import Concentrator
from vpnportal.models.tunnels import Tunnel


class Repair(models.Model):
    """Something a converge put right that nobody had asked for: drift.

    `tunnel` is empty where it concerns the whole concentrator, or many tunnels at once.
    """

    concentrator = models.ForeignKey(Concentrator, models.CASCADE, related_name="repairs")
    tunnel = models.ForeignKey(Tunnel, models.CASCADE, null=True, related_name="repairs")
    at = models.DateTimeField(auto_now_add=True)
    text = models.TextField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.text}"


class Hearing(models.Model):
    """What charon said lately of one tunnel: the evidence of its diagnosis, never a secret.

    `lines` is a list of {"at": ISO 8601, "role": "initiator" or "responder", "text": one line},
    oldest first and of bounded length; `facts` are counts that the watch keeps.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="hearing")
    lines = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{len(self.lines)} lines about {self.tunnel_id}"


class LastUsed(models.Model):
    """When the translations of one tunnel last carried traffic; a row for those that ever did.

    `pairs` is {internal address: [customer's address, minutes since 1970 in UTC]}.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="last_used")
    pairs = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"use of {len(self.pairs)} translations of {self.tunnel_id}"


class Question(models.Model):
    """Somebody asked what a tunnel's peer accepts; the concentrator's worker writes the answer.

    `answer` is {field of the draft: value}; `steps` a list of {"at", "text", "ok"}.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        ASKING = "asking", "asking"
        ANSWERED = "answered", "answered"
        FAILED = "failed", "failed"

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="questions")
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
