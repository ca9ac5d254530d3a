"""Held tunnels: a gateway runs them as the restored database does not know them."""

from __future__ import annotations

from django.db import models

from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.revisions import Revision
from vpnportal.models.tunnels import Tunnel


class HeldTunnelQuerySet(models.QuerySet["HeldTunnel"]):
    """Held tunnels, with a filter for those that wait for a choice."""

    def undecided(self) -> HeldTunnelQuerySet:
        """Return the held tunnels whose desired state is what the gateway runs."""
        return self.filter(ended_at=None)


class HeldTunnel(models.Model):
    """A tunnel of a gateway that differs from the restored database, until an operator chooses.

    `tunnel_id`, `account_id` and `name` are values of the gateway: the rows may not exist. The
    specification is sealed as that of revision `number`; it is empty if the gateway holds nothing,
    or if its file is unreadable. `static_nat` and `remote` are its networks as text, unencrypted,
    so that no other tunnel gets them. With `ended_at`, the backup was chosen: the row reserves
    addresses until a full converge has removed the tunnel.
    """

    class Kind(models.TextChoices):
        CHANGED = "changed", "Other settings"
        UNKNOWN = "unknown", "Not in the backup"
        REMOVED = "removed", "Removed after the backup"

    concentrator = models.ForeignKey(Concentrator, models.CASCADE, related_name="held_tunnels")
    tunnel_id = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=7, choices=Kind)
    number = models.PositiveIntegerField()
    specification = SealedField(default=Sealed, blank=True)
    mark = models.PositiveIntegerField(default=0)
    account_id = models.PositiveBigIntegerField(null=True)
    name = models.CharField(max_length=20, blank=True)
    hosted_peer = models.GenericIPAddressField(protocol="IPv4", null=True)
    static_nat = models.JSONField(default=list)
    remote = models.JSONField(default=list)
    found_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = HeldTunnelQuerySet.as_manager()

    class Meta:
        ordering = ["name", "tunnel_id", "concentrator"]
        constraints = [
            models.UniqueConstraint("concentrator", "tunnel_id", name="one_held_tunnel_per_gateway")
        ]

    def __str__(self) -> str:
        return self.name or f"tunnel {self.tunnel_id}"

    @property
    def is_removed(self) -> bool:
        """True if the gateway removed the tunnel after the backup."""
        return self.kind == self.Kind.REMOVED

    def kind_beside(self, tunnel: Tunnel | None) -> Kind:
        """Return the kind beside the tunnel of this id, which may be at another concentrator.

        The worker that wrote the row sees the tunnels of its own concentrator only.
        """
        is_same = tunnel is not None and self.account_id in (None, tunnel.account_id)
        unknown = self.kind == self.Kind.UNKNOWN
        return self.Kind.CHANGED if unknown and is_same else self.Kind(self.kind)

    def spec(self) -> TunnelSpec:
        """Return the specification, with its preshared key.

        Raises CannotOpen, or ValueError without a specification.
        """
        return Revision.unsealed(self.specification, self.tunnel_id, self.number)
