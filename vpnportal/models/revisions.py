"""Revisions: what was applied, frozen, with what became of it. Only these reach a concentrator."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Network

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.tunnel.serialization import deserialize, serialize, spec_digest
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec
from vpnportal.encryption import fingerprint_key
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel

# An apply that nobody took up for so long no longer locks the tunnel; it still may be done later.
LOCK_DURATION = timedelta(minutes=2)


def locks(requested_at: datetime | None) -> bool:
    """Whether an unfinished revision of that time keeps its tunnel from being edited now."""
    return requested_at is not None and age_of(requested_at) <= LOCK_DURATION


class RevisionQuerySet(models.QuerySet["Revision"]):
    """Which revisions count."""

    def live_or_applying(self) -> RevisionQuerySet:
        """Live ones and those on their way: what a concentrator holds or is about to."""
        return self.filter(outcome__in=Revision.LIVE_OR_APPLYING)

    def holding(self) -> RevisionQuerySet:
        """Standing ones, and those that a trial may bring back: what others may not take."""
        return self.filter(outcome__in=(*Revision.LIVE_OR_APPLYING, Revision.Outcome.FALLBACK))

    def locking(self) -> RevisionQuerySet:
        """Those that keep their tunnel from being edited now."""
        now = timezone.now()
        recent = (now - LOCK_DURATION, now + LOCK_DURATION)
        return self.filter(outcome__in=Revision.UNFINISHED, created_at__range=recent)


class Revision(models.Model):
    """The specification of a tunnel as it stood when somebody pressed Apply."""

    class Outcome(models.TextChoices):
        QUEUED = "queued", "queued"
        APPLYING = "applying", "applying"
        LIVE = "live", "live"
        FAILED = "failed", "failed"
        REPLACED = "replaced", "replaced"
        FALLBACK = "fallback", "kept in reserve"
        WITHDRAWN = "withdrawn", "taken back"

    class Rekeyed(models.TextChoices):
        """IKEv2 shows only at the first rekey whether PFS agrees, so one is forced."""

        NOT_NEEDED = "", "not needed"
        DUE = "due", "due"
        AGREED = "agreed", "agreed"
        FAILED = "failed", "failed"

    UNFINISHED = (Outcome.QUEUED, Outcome.APPLYING)
    LIVE_OR_APPLYING = (*UNFINISHED, Outcome.LIVE)

    tunnel = models.ForeignKey(Tunnel, models.PROTECT, related_name="revisions")
    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    specification = SealedField()
    digest = models.CharField(max_length=32, blank=True)
    hosted_peer = models.GenericIPAddressField(protocol="IPv4")
    remote_peer = models.GenericIPAddressField(protocol="IPv4")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.QUEUED)
    # A list of {"at": ISO 8601, "text": what was done, "ok": bool}.
    steps = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    # "Keep if healthy": so long after it is live the tunnel must be up, and this address answer.
    trial_seconds = models.PositiveSmallIntegerField(null=True)
    trial_ping = models.GenericIPAddressField(protocol="IPv4", null=True)
    trial_ends_at = models.DateTimeField(null=True, db_index=True)
    # Only the other end may start its tunnel; told in the clear, for lists of thousands.
    responder_only = models.BooleanField(default=False)
    # When its tunnel was seen up with it for the first time: a revision that never was is not good.
    first_up_at = models.DateTimeField(null=True)
    # The number of the revision whose specification this one brings back.
    restored_number = models.PositiveIntegerField(null=True)
    first_rekey = models.CharField(
        max_length=6, choices=Rekeyed, default=Rekeyed.NOT_NEEDED, blank=True
    )

    objects = RevisionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint("tunnel", "number", name="one_number_once")]
        indexes = [
            models.Index("concentrator", "outcome", name="standing_revisions"),
            # All that a list of ten thousand tunnels asks of them, without opening a row.
            models.Index(
                "tunnel",
                "number",
                "outcome",
                "concentrator",
                "finished_at",
                "digest",
                name="outcomes_by_tunnel",
            ),
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.tunnel_id}"

    @staticmethod
    def context(tunnel_id: int, number: int) -> str:
        """What the specification of this row is sealed to."""
        return f"tunnel {tunnel_id} revision {number}"

    @classmethod
    def next_for(cls, tunnel: Tunnel, spec: TunnelSpec, author: User | None) -> Revision:
        """The next revision of a tunnel, not saved yet."""
        latest = tunnel.latest()
        number = latest.number + 1 if latest else 1
        return cls(
            tunnel=tunnel,
            concentrator=tunnel.concentrator,
            number=number,
            specification=Sealed.of(serialize(spec), cls.context(tunnel.pk, number)),
            digest=spec_digest(spec, fingerprint_key()),
            hosted_peer=str(spec.hosted_peer),
            remote_peer=str(spec.remote_peer),
            author=author,
            responder_only=spec.starts is Starts.OTHER,
            first_rekey=cls.Rekeyed.DUE if spec.ike_version != 1 else cls.Rekeyed.NOT_NEEDED,
        )

    def spec(self) -> TunnelSpec:
        """The specification, with its preshared key."""
        return deserialize(self.specification.open(self.context(self.tunnel_id, self.number)))

    @cached_property
    def opened(self) -> TunnelSpec:
        """The same, opened once for a page that asks for it again and again."""
        return self.spec()

    @property
    def unfinished(self) -> bool:
        """Whether the concentrator has not answered yet."""
        return self.outcome in self.UNFINISHED

    @property
    def waits_too_long(self) -> bool:
        """Unfinished for so long that it no longer locks the tunnel."""
        return self.unfinished and self.age >= LOCK_DURATION

    @property
    def age(self) -> timedelta:
        """How long ago somebody pressed Apply; long ago if a clock that was set back says later."""
        return age_of(self.created_at)


class RemoteClaim(models.Model):
    """A remote network that a revision occupies, in the clear, so that overlaps are one query."""

    revision = models.ForeignKey(Revision, models.CASCADE, related_name="claims")
    first = models.BigIntegerField(db_index=True)
    last = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.first} to {self.last} by {self.revision_id}"

    @classmethod
    def of(cls, revision: Revision, network: IPv4Network) -> RemoteClaim:
        """The claim of one network, not saved yet."""
        return cls(
            revision=revision,
            first=int(network.network_address),
            last=int(network.broadcast_address),
        )
