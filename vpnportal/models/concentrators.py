"""Data centers, concentrators, and the address pools of concentrators."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.tunnel.charon_capabilities import CharonCapabilities
from vpnportal.encryption import Reader
from vpnportal.fields import NetworkField

# The monitor writes `seen_at` every 5 s; a full observation of many tunnels delays that.
STALE_AFTER = timedelta(seconds=20)
# A certificate of 90 days is renewed when 30 are left. This is after a week of failures.
CERTIFICATE_LATE = timedelta(days=21)


class Datacenter(models.Model):
    """A location, such as `hou02`, shown as "Houston 2"."""

    name = models.SlugField(max_length=20, unique=True)
    long_name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.long_name


class ConcentratorQuerySet(models.QuerySet["Concentrator"]):
    """Concentrators, with a filter for those that a restore leaves in question."""

    def uncompared(self) -> ConcentratorQuerySet:
        """Return the concentrators whose gateway was not compared with the restored database."""
        is_compared = models.Q(epoch=models.F("compared_epoch"))
        return self.exclude(epoch=None).exclude(is_compared, compared_epoch__isnull=False)


class Concentrator(models.Model):
    """A gateway with charon and nftables, and its last status as the monitor saw it."""

    name = models.CharField(
        max_length=40, unique=True, validators=[RegexValidator(r"\A[a-z0-9-]+\Z")]
    )
    datacenter = models.ForeignKey(Datacenter, models.PROTECT, related_name="concentrators")
    public_address = models.GenericIPAddressField(protocol="IPv4", unique=True)
    userland_esp = models.BooleanField(null=True)
    seen_at = models.DateTimeField(null=True)
    unreachable_reason = models.TextField(blank=True)
    # charon's algorithms: lists of names by kind, as in vici's get-algorithms.
    algorithms = models.JSONField(default=dict, blank=True)
    # X25519 public key of the gateway in base64. "" without one: then the portal's key seals alone.
    envelope_key = models.CharField(
        max_length=44, blank=True, default="", db_default="", editable=False
    )
    # End of the gateway's certificate; None if none has joined.
    certificate_until = models.DateTimeField(null=True, editable=False)
    # Version of strongSwan, such as 5.9.8.
    charon_version = models.CharField(max_length=40, blank=True)
    # Release of the portal's code on the gateway; "" from a gateway that does not report it.
    release = models.CharField(max_length=40, blank=True, default="", db_default="")
    # End of the last full converge.
    converged_at = models.DateTimeField(null=True)
    # Connections in charon that the portal did not load. It never changes them.
    foreign_connections = models.JSONField(default=list, blank=True)
    # Packets that the rules dropped since they were written, by counter name.
    drop_counters = models.JSONField(default=dict, blank=True)
    # Packets from a tunnel whose selectors do not allow them (RFC 4301, 5.2).
    dropped_by_esp = models.PositiveBigIntegerField(default=0)
    # Begin of the uninterrupted reads of translation use, and the last read.
    used_since = models.DateTimeField(null=True)
    used_read_at = models.DateTimeField(null=True)

    # Minutes of the last hour with a sample of all SAs, as spans [first, last].
    observed_minutes = models.JSONField(default=list, blank=True)

    # A random value from each restore of a backup, for equality only; None before the first one.
    epoch = models.UUIDField(null=True, editable=False)
    # The epoch for which the worker compared the files of its gateway with the database.
    compared_epoch = models.UUIDField(null=True, editable=False)
    # The time of the backup that was restored.
    restored_from = models.DateTimeField(null=True, editable=False)

    objects = ConcentratorQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def is_compared(self) -> bool:
        """True unless a restore left it in question which tunnels the gateway runs."""
        return self.epoch == self.compared_epoch or self.epoch is None

    @cached_property
    def has_held(self) -> bool:
        """True if the concentrator has held tunnels. A worker's query annotates it."""
        return self.held_tunnels.exists()

    @property
    def reader(self) -> Reader | None:
        """The gateway as a reader of envelopes, None without its public key."""
        return Reader(self.name, self.envelope_key) if self.envelope_key else None

    @property
    def queue(self) -> str:
        """The Celery queue of the concentrator's worker."""
        return f"concentrator.{self.name}"

    @property
    def capabilities(self) -> CharonCapabilities:
        """The capabilities of charon, as the monitor last saw them."""
        names = frozenset(name for kind in self.algorithms.values() for name in kind)
        return CharonCapabilities(names, bool(self.userland_esp), self.charon_version)

    def is_online(self, now: datetime | None = None) -> bool:
        """Return True if the monitor's last status is recent enough to count as current."""
        if self.seen_at is None or self.unreachable_reason:
            return False
        return age_of(self.seen_at, now) < STALE_AFTER

    @property
    def has_certificate_ended(self) -> bool:
        """True if the gateway had a certificate, and it has ended."""
        return self.certificate_until is not None and self.certificate_until <= timezone.now()

    @property
    def certificate_problem(self) -> tuple[str, str]:
        """The problem of the gateway's certificate, and its remedy; two empty texts if it has none.

        It has ended, or was not renewed in time.
        """
        if self.has_certificate_ended:
            return "It has ended.", (
                f"`vpnportal gateway add {self.name}` on the portal, then `vpnportal gateway join "
                "FILE` on the gateway."
            )
        if self.certificate_until and self.certificate_until - timezone.now() < CERTIFICATE_LATE:
            return "It was not renewed in time.", (
                "On the gateway: `vpnportal certificates renew`; the journal of "
                "vpnportal-certificates has the reason."
            )
        return "", ""


class AddressPool(models.Model):
    """A block of a concentrator's addresses, from which new tunnels get their addresses."""

    class Kind(models.TextChoices):
        HOSTED_PEER = "hosted-peer", "Hosted peer addresses"
        STATIC_NAT = "static-nat", "Static NAT subnets"

    concentrator = models.ForeignKey(Concentrator, models.CASCADE, related_name="pools")
    kind = models.CharField(max_length=11, choices=Kind)
    network = NetworkField()

    class Meta:
        constraints = [models.UniqueConstraint("kind", "network", name="one_pool_per_network")]

    def __str__(self) -> str:
        return f"{self.network} ({self.get_kind_display()}) of {self.concentrator}"
