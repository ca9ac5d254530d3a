"""Subnets of accounts and of the provider, which tunnels are attached to."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from django.db import models

from vpnportal.domain.addresses import starts_around
from vpnportal.fields import NetworkEndField, NetworkField
from vpnportal.models.accounts import Account
from vpnportal.models.concentrators import Datacenter

if TYPE_CHECKING:
    from vpnportal.models.tunnels import Tunnel


def _containing(network: IPv4Network) -> models.Q:
    last = int(network.broadcast_address)
    return models.Q(first__in=starts_around(network), last__gte=last)


class SubnetQuerySet(models.QuerySet["Subnet"]):
    """Subnets, with filters for those that a tunnel may use, and for those around a network.

    The latter need a filter by kind, with which the index of addresses begins.
    """

    def containing(self, network: IPv4Network) -> SubnetQuerySet:
        """Return the subnets that contain a network."""
        return self.filter(_containing(network))

    def overlapping(self, network: IPv4Network) -> SubnetQuerySet:
        """Return the subnets that contain a network, or begin in it."""
        first, last = int(network.network_address), int(network.broadcast_address)
        return self.filter(models.Q(first__range=(first, last)) | _containing(network))

    def offered_to(self, tunnel: Tunnel) -> SubnetQuerySet:
        """Return the hosted and service subnets that may be attached to the tunnel."""
        kinds = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)
        return self.filter(
            models.Q(account=tunnel.account_id) | models.Q(account=None),
            models.Q(datacenter=tunnel.concentrator.datacenter_id) | models.Q(datacenter=None),
            kind__in=kinds,
        )


class Subnet(models.Model):
    """A network that tunnels are attached to.

    A subnet without account is a service of the provider, open to every account. A subnet without
    data center exists in all data centers.
    """

    class Kind(models.TextChoices):
        HOSTED = "hosted", "Protected private (hosted) subnet"
        SERVICE = "service", "Service subnet"
        STATIC_NAT = "static-nat", "Assigned Static NAT subnet"
        CUSTOMER = "customer", "Protected Customer (Remote) Subnet"

    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="subnets"
    )
    datacenter = models.ForeignKey(
        Datacenter, models.PROTECT, null=True, blank=True, related_name="subnets"
    )
    name = models.CharField(max_length=80, blank=True)
    kind = models.CharField(max_length=10, choices=Kind)
    network = NetworkField()
    first = NetworkEndField()
    last = NetworkEndField(last=True)

    objects = SubnetQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("kind", "first", name="subnets_by_address")]
        constraints = [
            models.UniqueConstraint("account", "kind", "network", name="one_row_per_subnet"),
            models.UniqueConstraint(
                "network",
                condition=models.Q(kind__in=("hosted", "static-nat")),
                name="provider_subnet_once",
            ),
            models.UniqueConstraint(
                "network",
                condition=models.Q(account__isnull=True),
                name="one_row_per_service",
            ),
            models.CheckConstraint(
                condition=models.Q(account__isnull=False) | models.Q(kind="service"),
                name="only_services_are_everybodys",
            ),
        ]

    def __str__(self) -> str:
        return str(self.network)
