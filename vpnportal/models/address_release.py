"""Concentrators that a tunnel leaves: what it had there is given to nobody before they let go."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.revisions import Revision
from vpnportal.models.tunnels import Tunnel


class AddressReleaseQuerySet(models.QuerySet["AddressRelease"]):
    """Which departures still wait for something."""

    def open(self) -> AddressReleaseQuerySet:
        """Those whose concentrator was not seen without the tunnel yet."""
        return self.filter(released_at=None)

    def due(self) -> AddressReleaseQuerySet:
        """Open ones whose concentrator should hold nothing of the tunnel any more."""
        here = {
            "tunnel": models.OuterRef("tunnel"),
            "concentrator": models.OuterRef("concentrator"),
        }
        return self.open().exclude(models.Exists(Revision.objects.holding().filter(**here)))


class AddressRelease(models.Model):
    """A tunnel that was cancelled, or whose draft was moved, and the place that it leaves.

    `steps` are what the concentrator's worker did for it, as in `Revision`. `released_at` is when the
    concentrator was seen without the tunnel; from then on its `hosted_peer` is free.
    """

    tunnel = models.ForeignKey(Tunnel, models.PROTECT, related_name="releases")
    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="releases")
    hosted_peer = models.GenericIPAddressField(protocol="IPv4")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    released_at = models.DateTimeField(null=True)
    steps = models.JSONField(default=list)

    objects = AddressReleaseQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "hosted_peer",
                condition=models.Q(released_at__isnull=True),
                name="one_open_release_per_hosted_peer",
            )
        ]

    def __str__(self) -> str:
        return f"{self.tunnel_id} leaves {self.concentrator}"
