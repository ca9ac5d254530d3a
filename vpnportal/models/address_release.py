"""Releases of a tunnel's addresses on a concentrator that the tunnel leaves.

An address is free again once an observation of the concentrator shows nothing of the tunnel.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.revisions import Revision
from vpnportal.models.tunnels import Tunnel


class AddressReleaseQuerySet(models.QuerySet["AddressRelease"]):
    """Address releases, with filters for open and due releases."""

    def open(self) -> AddressReleaseQuerySet:
        """Return the releases without `released_at`: the addresses are not free yet."""
        return self.filter(released_at=None)

    def due(self) -> AddressReleaseQuerySet:
        """Return the open releases without a live, unfinished or fallback revision.

        Only revisions of the same tunnel on the same concentrator count.
        """
        here = {
            "tunnel": models.OuterRef("tunnel"),
            "concentrator": models.OuterRef("concentrator"),
        }
        return self.open().exclude(models.Exists(Revision.objects.holding().filter(**here)))


class AddressRelease(models.Model):
    """The release of a deleted or moved tunnel's addresses on one concentrator.

    `steps` is the log of the worker in the format of `Revision.steps`. `released_at` is the time of
    the observation without the tunnel; from then on `hosted_peer` is free.
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
