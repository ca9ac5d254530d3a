"""What the concentrators' side wrote down: repairs, what was heard, used, and answered."""

from __future__ import annotations

from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel


class DriftRepair(models.Model):
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


class DiagnosticLog(models.Model):
    """What charon said lately of one tunnel: the evidence of its diagnosis, never a secret.

    `lines` is a list of {"at": ISO 8601, "role": "initiator" or "responder", "text": one line},
    oldest first and of bounded length; `facts` are counts that the watch keeps.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="diagnostic_log")
    lines = models.JSONField(default=list)
    anomalies = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{len(self.lines)} lines about {self.tunnel_id}"


class TranslationUsage(models.Model):
    """When the translations of one tunnel last carried traffic; a row for those that ever did.

    `pairs` is {internal address: [customer's address, minutes since 1970 in UTC]}.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="translation_usage")
    pairs = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"use of {len(self.pairs)} translations of {self.tunnel_id}"
