"""Tunnels as drafts: each edit is saved at once and reaches no concentrator before Apply."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Self

from django.contrib.auth.models import AnonymousUser, User
from django.db import models

from vpnportal.domain.addresses import number
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Starts, Translation, TunnelSpec
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.accounts import Account
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.permissions import PermissionQuerySet
from vpnportal.models.subnets import Subnet

if TYPE_CHECKING:
    from vpnportal.models.revisions import Revision


def choices_of(enum: type[SaStatus] | type[Starts]) -> list[tuple[str, str]]:
    """Return the members of a domain enum as Django choices: (value, label) pairs."""
    return [(member.value, member.label) for member in enum]


# Columns that a gateway does not read: the draft's key, what people wrote, and who they are.
PORTAL_COLUMNS = (
    "preshared_key",
    "friendly_name",
    "notes",
    "draft_digest",
    "disconnected_by",
    "ordered_by",
    "order_key",
)


class TunnelQuerySet(PermissionQuerySet["Tunnel"]):
    """Tunnels, with filters by the role that a user has in their account.

    `visible_to` and `editable_by` include deleted tunnels: a service says in words why a deleted
    tunnel cannot be changed.
    """

    memberships = "account__memberships"

    def owned_by(self, user: User | AnonymousUser) -> Self:
        """Return the tunnels that the user may delete, and whose preshared key the user may see."""
        return super().owned_by(user).present()

    def for_gateway(self) -> Self:
        """Return the tunnels without the columns that a gateway may not read."""
        return self.defer(*PORTAL_COLUMNS)

    def present(self) -> Self:
        """Return the tunnels that are not deleted."""
        return self.filter(cancelled_at=None)


class Tunnel(models.Model):
    """An IPsec VPN, called a "context" in the retired API. Defaults match the original panel.

    A deleted tunnel keeps its row, which keeps its name and its history.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="tunnels")
    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="tunnels")
    name = models.SlugField(max_length=20, unique=True)
    friendly_name = models.CharField(max_length=80, blank=True)
    notes = models.TextField(max_length=2000, blank=True)
    subnets = models.ManyToManyField(Subnet, related_name="tunnels", blank=True)

    # Unique among present tunnels: charon selects a preshared key by the two addresses alone.
    hosted_peer = models.GenericIPAddressField(protocol="IPv4")
    remote_peer = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    preshared_key = SealedField(default=Sealed, blank=True)
    # 0 is both: the concentrator initiates IKEv2 and accepts either version.
    ike_version = models.PositiveSmallIntegerField(default=1)
    phase_one_encryption = models.CharField(max_length=20, default="3DES")
    phase_one_authentication = models.CharField(max_length=12, default="MD5")
    phase_one_group = models.PositiveSmallIntegerField(default=2)
    phase_one_keylife = models.PositiveIntegerField(default=14_400)
    phase_two_encryption = models.CharField(max_length=20, default="3DES")
    phase_two_authentication = models.CharField(max_length=12, default="MD5")
    phase_two_pfs = models.BooleanField(default=True)
    phase_two_group = models.PositiveSmallIntegerField(default=2)
    phase_two_keylife = models.PositiveIntegerField(default=3_600)
    # IKEv1 allows one pair of selectors per quick mode (RFC 2409, 5.5), so it always does this.
    one_child_per_pair = models.BooleanField(default=False)
    # DPD interval; 0 disables DPD.
    dpd_seconds = models.PositiveSmallIntegerField(default=15)
    starts = models.CharField(max_length=6, choices=choices_of(Starts), default=Starts.EITHER.value)
    # Remote addresses are reached through translations alone, so the tunnel claims no network.
    translated_only = models.BooleanField(default=False)
    # The tunnel's `TunnelMark` at the concentrator of the draft; 0 before the first one.
    mark = models.PositiveIntegerField(default=0, editable=False)

    # Until then the claims of a tunnel count that was never up; None: without end.
    claims_until = models.DateTimeField(null=True, editable=False)

    # Keyed digest of the draft. It equals the digest of a revision with the same content.
    draft_digest = models.CharField(max_length=32, blank=True, editable=False)

    # Last status that the monitor saw. It is current only while the concentrator is online.
    sa_status = models.CharField(max_length=10, choices=choices_of(SaStatus), blank=True)
    sa_status_at = models.DateTimeField(null=True)

    # While set, the concentrator holds no configuration of the tunnel.
    disconnected_at = models.DateTimeField(null=True, blank=True)
    disconnected_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    ordered_at = models.DateTimeField(null=True, blank=True)
    ordered_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    # Key of the order form: submitting one form twice orders one tunnel.
    order_key = models.UUIDField(null=True, blank=True, editable=False)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    objects = TunnelQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "hosted_peer",
                condition=models.Q(cancelled_at__isnull=True),
                name="one_tunnel_per_hosted_peer",
            ),
            models.UniqueConstraint("ordered_by", "order_key", name="one_tunnel_per_order"),
        ]

    def __str__(self) -> str:
        return self.friendly_name or self.name

    @property
    def preshared_key_context(self) -> str:
        """The encryption context of `preshared_key`."""
        return f"tunnel {self.pk} preshared key"

    def networks(self, *kinds: Subnet.Kind) -> tuple[IPv4Network, ...]:
        """Return the attached networks of these kinds, sorted. One query, none if prefetched."""
        return tuple(sorted(row.network for row in self.subnets.all() if row.kind in kinds))

    def latest(self) -> Revision | None:
        """Return the newest revision, whatever its outcome."""
        return self.revisions.order_by("-number").first()

    def draft(self) -> TunnelSpec:
        """Return the draft as a specification, with the preshared key decrypted."""
        return TunnelSpec(
            tunnel_id=self.pk,
            hosted_peer=IPv4Address(self.hosted_peer),
            remote_peer=IPv4Address(self.remote_peer) if self.remote_peer else None,
            preshared_key=self.preshared_key.open(self.preshared_key_context),
            ike_version=self.ike_version,
            phase_one=PhaseOne(
                self.phase_one_encryption,
                self.phase_one_authentication,
                self.phase_one_group,
                self.phase_one_keylife,
            ),
            phase_two=PhaseTwo(
                self.phase_two_encryption,
                self.phase_two_authentication,
                self.phase_two_pfs,
                self.phase_two_group,
                self.phase_two_keylife,
            ),
            hosted_subnets=self.networks(Subnet.Kind.HOSTED, Subnet.Kind.SERVICE),
            remote_subnets=self.networks(Subnet.Kind.CUSTOMER),
            static_nat_subnets=self.networks(Subnet.Kind.STATIC_NAT),
            translations=tuple(row.as_value() for row in self.translations.all()),
            one_child_per_pair=self.one_child_per_pair,
            dpd_seconds=self.dpd_seconds,
            starts=Starts(self.starts),
            translated_only=self.translated_only,
        )


class AddressTranslation(models.Model):
    """A static one-to-one NAT entry: an internal address, a customer address and a name."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="translations")
    internal_address = models.GenericIPAddressField(protocol="IPv4")
    customer_address = models.GenericIPAddressField(protocol="IPv4")
    name = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("tunnel", "internal_address", name="one_row_per_address")
        ]
        indexes = [
            models.Index("internal_address", name="translations_by_internal"),
            models.Index("customer_address", name="translations_by_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.internal_address} to {self.customer_address}"

    def as_value(self) -> Translation:
        """Return the addresses and the name as a domain `Translation`."""
        internal, customer = number(self.internal_address), number(self.customer_address)
        return Translation(IPv4Address(internal), IPv4Address(customer), self.name)
