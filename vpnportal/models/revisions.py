"""Revisions: immutable specifications with their outcome. Only these reach a concentrator."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.tunnel.serialization import deserialize, serialize, spec_digest
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec
from vpnportal.encryption import Reader, fingerprint_key
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel

# After this time an unfinished apply no longer locks the tunnel. The worker may still finish it.
LOCK_DURATION = timedelta(minutes=2)


def locks(requested_at: datetime | None) -> bool:
    """Return True if an unfinished revision created at `requested_at` still locks its tunnel."""
    return requested_at is not None and age_of(requested_at) <= LOCK_DURATION


class RevisionQuerySet(models.QuerySet["Revision"]):
    """Revisions, with filters by outcome."""

    def live_or_applying(self) -> RevisionQuerySet:
        """Return the live, queued and applying revisions."""
        return self.filter(outcome__in=Revision.LIVE_OR_APPLYING)

    def to_configure(self) -> RevisionQuerySet:
        """Return the live, queued and applying revisions of tunnels that are not disconnected."""
        return self.live_or_applying().filter(tunnel__disconnected_at=None)

    def with_owner(self) -> RevisionQuerySet:
        """Annotate `account_id` and `tunnel_name`, the account and the name of the tunnel."""
        return self.annotate(
            account_id=models.F("tunnel__account"), tunnel_name=models.F("tunnel__name")
        )

    def holding(self) -> RevisionQuerySet:
        """Return the revisions that reserve their networks: live, unfinished, or fallback."""
        return self.filter(outcome__in=Revision.HOLDING)

    def locking(self) -> RevisionQuerySet:
        """Return the unfinished revisions that lock their tunnel."""
        now = timezone.now()
        recent = (now - LOCK_DURATION, now + LOCK_DURATION)
        return self.filter(outcome__in=Revision.UNFINISHED, created_at__range=recent)


class Revision(models.Model):
    """The specification of a tunnel at the time of an apply, sealed, with its outcome."""

    class Outcome(models.TextChoices):
        QUEUED = "queued", "Queued"
        APPLYING = "applying", "Applying"
        LIVE = "live", "Live"
        FAILED = "failed", "Failed"
        REPLACED = "replaced", "Replaced"
        FALLBACK = "fallback", "Kept as fallback"
        WITHDRAWN = "withdrawn", "Rolled back"

    class Rekeyed(models.TextChoices):
        """State of the forced first rekey.

        IKEv2 negotiates the PFS group only in a rekey (RFC 7296, 1.2): a mismatch shows there.
        """

        NOT_NEEDED = "", "not needed"
        DUE = "due", "due"
        AGREED = "agreed", "agreed"
        FAILED = "failed", "failed"

    UNFINISHED = (Outcome.QUEUED, Outcome.APPLYING)
    LIVE_OR_APPLYING = (*UNFINISHED, Outcome.LIVE)
    HOLDING = (*LIVE_OR_APPLYING, Outcome.FALLBACK)

    tunnel = models.ForeignKey(Tunnel, models.PROTECT, related_name="revisions")
    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    specification = SealedField()
    digest = models.CharField(max_length=32, blank=True)
    hosted_peer = models.GenericIPAddressField(protocol="IPv4")
    remote_peer = models.GenericIPAddressField(protocol="IPv4")
    # The tunnel's mark at `concentrator`; 0 without one.
    mark = models.PositiveIntegerField(default=0)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.QUEUED)
    # The apply log: a list of {"at": ISO 8601, "text": one step, "ok": bool}.
    steps = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    # Commit-confirm: seconds until the health check, and the address that must answer a ping.
    trial_seconds = models.PositiveSmallIntegerField(null=True)
    trial_ping = models.GenericIPAddressField(protocol="IPv4", null=True)
    trial_ends_at = models.DateTimeField(null=True, db_index=True)
    # Only the peer initiates. In the clear, because lists cannot unseal thousands of rows.
    responder_only = models.BooleanField(default=False)
    # When the tunnel was first seen up with this revision. None excludes it as a fallback.
    first_up_at = models.DateTimeField(null=True)
    # Number of the revision whose specification this revision restores.
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
            # Covers the tunnel list: it reads ten thousand states from the index alone.
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
    def context(tunnel_id: int, number: int, is_envelope: bool = False) -> str:
        """Return the encryption context of `specification`.

        An envelope is bound to the tunnel alone: a gateway can copy it into a later revision, and
        can make none that the portal opens.
        """
        tunnel = f"tunnel {tunnel_id}"
        return f"{tunnel} specification" if is_envelope else f"{tunnel} revision {number}"

    @classmethod
    def sealed(cls, spec: TunnelSpec, number: int, reader: Reader | None) -> Sealed:
        """Return a specification, sealed as that of a revision of its tunnel."""
        context = cls.context(spec.tunnel_id, number, is_envelope=reader is not None)
        return Sealed.of(serialize(spec), context, reader)

    @classmethod
    def unsealed(cls, sealed: Sealed, tunnel_id: int, number: int) -> TunnelSpec:
        """Return the specification of a revision, with its preshared key.

        Raises CannotOpen, or ValueError if there is none.
        """
        return deserialize(sealed.open(cls.context(tunnel_id, number, sealed.is_envelope)))

    @classmethod
    def next_for(
        cls, tunnel: Tunnel, spec: TunnelSpec, author: User | None, at_least: int = 1
    ) -> Revision:
        """Return the next revision of a tunnel, unsaved, with the number `at_least` or a later one.

        It is sealed for the concentrator of the draft.
        """
        latest = tunnel.latest()
        number = max(latest.number + 1 if latest else 1, at_least)
        return cls(
            tunnel=tunnel,
            concentrator_id=tunnel.concentrator_id,
            number=number,
            specification=cls.sealed(spec, number, tunnel.concentrator.reader),
            digest=spec_digest(spec, fingerprint_key()),
            hosted_peer=str(spec.hosted_peer),
            remote_peer=str(spec.remote_peer),
            mark=tunnel.mark,
            author=author,
            responder_only=spec.starts is Starts.OTHER,
            first_rekey=cls.Rekeyed.DUE if spec.ike_version != 1 else cls.Rekeyed.NOT_NEEDED,
        )

    def restoring(self, earlier: Revision) -> Revision:
        """Return the next revision after this one, unsaved, which restores an earlier one.

        Needs no key of the portal. The older form of sealed text is bound to the number, and a
        gateway that has it has the portal's key.
        """
        number, sealed = self.number + 1, earlier.specification
        if not sealed.is_envelope:
            sealed = self.sealed(earlier.spec(), number, None)
        return Revision(
            tunnel_id=self.tunnel_id,
            concentrator_id=earlier.concentrator_id,
            number=number,
            specification=sealed,
            digest=earlier.digest,
            hosted_peer=earlier.hosted_peer,
            remote_peer=earlier.remote_peer,
            mark=earlier.mark,
            responder_only=earlier.responder_only,
            restored_number=earlier.number,
            first_rekey=self.Rekeyed.DUE if earlier.first_rekey else self.Rekeyed.NOT_NEEDED,
        )

    def spec(self) -> TunnelSpec:
        """Return the specification, with its preshared key."""
        return self.unsealed(self.specification, self.tunnel_id, self.number)

    @cached_property
    def opened(self) -> TunnelSpec:
        """The specification, decrypted once per instance."""
        return self.spec()

    @property
    def unfinished(self) -> bool:
        """True while the revision is queued or being applied."""
        return self.outcome in self.UNFINISHED

    @property
    def waits_too_long(self) -> bool:
        """True if the revision is unfinished and no longer locks the tunnel."""
        return self.unfinished and self.age >= LOCK_DURATION

    @property
    def age(self) -> timedelta:
        """The time since the revision was created."""
        return age_of(self.created_at)
