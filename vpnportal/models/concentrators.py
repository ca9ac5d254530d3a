"""Where tunnels end: data centers, their concentrators, and the subnets assigned there."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.validators import RegexValidator
from django.db import models

from vpnportal.clock import age_of
from vpnportal.domain.tunnel.charon_capabilities import CharonCapabilities
from vpnportal.fields import NetworkField

# `watch` writes `seen_at` every few seconds; twice missed and the page says "unknown".
STALE_AFTER = timedelta(seconds=20)


class Datacenter(models.Model):
    """A location, such as `hou02`, shown as "Houston 2"."""

    name = models.SlugField(max_length=20, unique=True)
    long_name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.long_name


class Concentrator(models.Model):
    """A gateway with its charon and nftables. `watch` keeps what was last seen of it here."""

    name = models.CharField(
        max_length=40, unique=True, validators=[RegexValidator(r"\A[a-z0-9-]+\Z")]
    )
    datacenter = models.ForeignKey(Datacenter, models.PROTECT, related_name="concentrators")
    public_address = models.GenericIPAddressField(protocol="IPv4", unique=True)
    userland_esp = models.BooleanField(null=True)
    seen_at = models.DateTimeField(null=True)
    unreachable_reason = models.TextField(blank=True)
    # What its charon can do: lists of charon's names by kind, as vici's get-algorithms has them.
    algorithms = models.JSONField(default=dict, blank=True)
    # strongSwan's, such as 5.9.8.
    charon_version = models.CharField(max_length=40, blank=True)
    # Connections that charon holds and the portal did not make: left alone, shown to operators.
    foreign_connections = models.JSONField(default=list, blank=True)
    # Packets that its rules dropped since they were written, by the name of the counter.
    drop_counters = models.JSONField(default=dict, blank=True)
    # Packets that came out of a tunnel which does not lead there (RFC 4301, 5.2).
    dropped_by_esp = models.PositiveBigIntegerField(default=0)
    # Since when, and until when, the use of address translations was read here.
    used_since = models.DateTimeField(null=True)
    used_read_at = models.DateTimeField(null=True)

    # Minutes of the last hour in which all that runs was looked at: spans of first and last ones.
    observed_minutes = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        """The Celery queue of this concentrator's lane."""
        return f"concentrator.{self.name}"

    @property
    def capabilities(self) -> CharonCapabilities:
        """What its charon can do, as far as `watch` has seen."""
        names = frozenset(name for several in self.algorithms.values() for name in several)
        return CharonCapabilities(names, bool(self.userland_esp), self.charon_version)

    def is_online(self, now: datetime | None = None) -> bool:
        """Whether what `watch` wrote is fresh enough to be told as the present."""
        if self.seen_at is None or self.unreachable_reason:
            return False
        return age_of(self.seen_at, now) < STALE_AFTER


class AddressPool(models.Model):
    """A block of a concentrator's addresses from which new tunnels are given theirs."""

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
