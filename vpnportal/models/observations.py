"""Observations of worker and monitor: drift repairs, diagnostic logs, translation usage."""

from __future__ import annotations

from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel


class DriftRepair(models.Model):
    """A correction of drift: a step that no apply and no command asked for.

    `tunnel` is None if the step concerns the whole concentrator or many tunnels.
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
    """Recent lines of charon's log about one tunnel: the evidence of its diagnosis, no secrets.

    `lines` is a list of {"at": ISO 8601, "role": "initiator" or "responder", "text": one line},
    oldest first, of bounded length. `anomalies` are the findings of `AnomalyDetector`.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="diagnostic_log")
    lines = models.JSONField(default=list)
    anomalies = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{len(self.lines)} lines about {self.tunnel_id}"


class TranslationUsage(models.Model):
    """The last use of each translation of one tunnel. Tunnels without any use have no row.

    `pairs` is {internal address: [customer address, minutes since 1970 in UTC]}.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="translation_usage")
    pairs = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"use of {len(self.pairs)} translations of {self.tunnel_id}"
