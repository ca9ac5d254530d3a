"""What tunnels carried and what runs of them, as their concentrator's watch counts it."""

from __future__ import annotations

from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel


class Traffic(models.Model):
    """One tunnel: written when something of it changed, and at no other time.

    `lines` is what ran at `taken_at` (`domain.picture`). `pairs` is {selectors: [since, bytes in,
    bytes out, packets in, packets out]}, a sum over all keys there were since then. `minutes` is
    {selectors: [[minute, the same four]]} of the last hour, without minutes in which nothing was
    carried; which of those were looked at is in `Concentrator.watched`. What was carried by
    selectors that are not in `pairs` any more is under GONE.
    """

    GONE = ""

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="traffic")
    concentrator = models.ForeignKey(Concentrator, models.CASCADE, related_name="traffic")
    taken_at = models.DateTimeField()
    lines = models.JSONField(default=list)
    pairs = models.JSONField(default=dict)
    minutes = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"traffic of {self.tunnel_id} at {self.taken_at:%Y-%m-%d %H:%M:%S}"
