"""Traffic counters and SA samples of tunnels, written by the monitor."""

from __future__ import annotations

from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel


class Traffic(models.Model):
    """Traffic and SAs of one tunnel. The monitor writes the row only when its content changes.

    `lines` are the IKE_SAs at `taken_at` (`domain.traffic.sa_snapshot`). `pairs` is {selectors:
    [since, bytes in, bytes out, packets in, packets out]}, summed across rekeys. `minutes` is
    {selectors: [[minute, bytes in, bytes out, packets in, packets out]]} of the last hour. It omits
    minutes without traffic; `Concentrator.observed_minutes` tells which minutes were sampled. GONE
    collects the traffic of selectors that are no longer in `pairs`.
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
