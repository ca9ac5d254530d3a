"""Commands for tunnels and probes of peers: rows that the worker completes once."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import models

from vpnportal.clock import age_of
from vpnportal.domain.tunnel.serialization import deserialize, serialize
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.tunnels import Tunnel


class TunnelCommand(models.Model):
    """A command for the SAs of a tunnel. The worker of its concentrator executes it once.

    `done_at` and `ok` are None until the command ends. `text` is the result as a sentence for
    the user. `steps` is the command log in the format of `Revision.steps`.
    """

    class Kind(models.TextChoices):
        CONNECT = "connect", "Connect"
        DISCONNECT = "disconnect", "Disconnect"
        REKEY = "rekey", "Rekey"
        RECONNECT = "reconnect", "Reconnect"

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
        """The time since the request."""
        return age_of(self.requested_at)


class PeerProbe(models.Model):
    """A probe of the algorithms that a peer accepts. The worker writes the answer.

    `answer` is {field of the draft: value}. `steps` is a list of {"at", "text", "ok", "reply"}.
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
    # The draft of the request until the result, for the concentrator of the draft. A gateway cannot
    # open the preshared key of the draft itself.
    specification = SealedField(default=Sealed, db_default=models.Value(""), blank=True)
    answer = models.JSONField(default=dict)
    steps = models.JSONField(default=list)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"probe {self.pk} of the peer of {self.tunnel_id}"

    @staticmethod
    def context(tunnel_id: int) -> str:
        """Return the encryption context of `specification`."""
        return f"tunnel {tunnel_id} probe"

    @classmethod
    def of(cls, tunnel: Tunnel, author: User, answer: dict[str, str]) -> PeerProbe:
        """Return a probe of the peer of a draft, unsaved."""
        context, text = cls.context(tunnel.pk), serialize(tunnel.draft())
        sealed = Sealed.of(text, context, tunnel.concentrator.reader)
        return cls(tunnel=tunnel, author=author, specification=sealed, answer=answer)

    def spec(self) -> TunnelSpec:
        """Return the draft of the request, with its preshared key. Raises CannotOpen."""
        return deserialize(self.specification.open(self.context(self.tunnel_id)))
