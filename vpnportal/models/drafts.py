"""Records about drafts: last edits, the backup for undo, and views of preshared keys."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from vpnportal.domain.tunnel.serialization import deserialize
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.fields import SealedField
from vpnportal.models.tunnels import Tunnel


class LastEdit(models.Model):
    """The last edit of one field of a draft, for the detection of edit conflicts."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="last_edits")
    field = models.CharField(max_length=40)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("tunnel", "field", name="one_last_edit_per_field")]

    def __str__(self) -> str:
        return f"{self.field} of {self.tunnel_id} by {self.author}"


class DraftBackup(models.Model):
    """The draft before the last discard or restore, which Undo brings back.

    `what` names the operation. The next edit of the draft makes the backup invalid.
    """

    tunnel = models.OneToOneField(Tunnel, models.CASCADE, related_name="draft_backup")
    specification = SealedField()
    what = models.CharField(max_length=80)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"draft of {self.tunnel_id} from {self.at}"

    @staticmethod
    def context(tunnel_id: int) -> str:
        """Return the encryption context of `specification`."""
        return f"tunnel {tunnel_id} draft set aside"

    def spec(self) -> TunnelSpec:
        """Return the saved draft, decrypted, with its preshared key."""
        return deserialize(self.specification.open(self.context(self.tunnel_id)))


class KeyReveal(models.Model):
    """One display of a preshared key to a user."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="key_reveals")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"key of {self.tunnel_id} shown to {self.author}"
