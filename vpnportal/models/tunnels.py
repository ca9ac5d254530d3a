"""Tunnels as drafts: every edit is kept at once, and none of it reaches the concentrator."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser, User
from django.db import models

from vpnportal.domain.addresses import number
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Starts, Translation, TunnelSpec
from vpnportal.fields import Sealed, SealedField
from vpnportal.models.accounts import Account, Membership
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.subnets import Subnet

if TYPE_CHECKING:
    from vpnportal.models.revisions import Revision


class TunnelQuerySet(models.QuerySet["Tunnel"]):
    """Lookup and permission in one."""

    def visible_to(self, user: User | AnonymousUser) -> TunnelQuerySet:
        """The tunnels of the accounts this person belongs to; none for nobody."""
        if user.pk is None:
            # In a filter None would mean "accounts without any member".
            return self.none()
        return self.filter(account__memberships__user_id=user.pk)

    def editable_by(self, user: User | AnonymousUser) -> TunnelQuerySet:
        """Those among them that this person's role allows to change and apply.

        A service says in words why nothing is done to one that was cancelled.
        """
        roles = (Membership.Role.OPERATOR, Membership.Role.OWNER)
        if user.pk is None:
            return self.none()
        return self.filter(
            account__memberships__user_id=user.pk, account__memberships__role__in=roles
        )

    def owned_by(self, user: User | AnonymousUser) -> TunnelQuerySet:
        """Those among them that this person may also cancel, and whose key they may see."""
        if user.pk is None:
            return self.none()
        return self.present().filter(
            account__memberships__user_id=user.pk,
            account__memberships__role=Membership.Role.OWNER,
        )

    def present(self) -> TunnelQuerySet:
        """Without those that were cancelled."""
        return self.filter(cancelled_at=None)


class Tunnel(models.Model):
    """One IPsec VPN (the old API's context). Defaults are the original panel's.

    A cancelled tunnel keeps its row, so that its name and its history stay.
    """

    class SaStatus(models.TextChoices):
        UP = "up", "up"
        OLDER = "older", "up with older settings"
        PARTIAL = "partial", "partly up"
        CONNECTING = "connecting", "connecting"
        DOWN = "down", "down"

    class Starts(models.TextChoices):
        EITHER = "either", "either end"
        OTHER = "other", "the other end only"

    account = models.ForeignKey(Account, models.PROTECT, related_name="tunnels")
    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="tunnels")
    name = models.SlugField(max_length=20, unique=True)
    friendly_name = models.CharField(max_length=80, blank=True)
    notes = models.TextField(max_length=2000, blank=True)
    subnets = models.ManyToManyField(Subnet, related_name="tunnels", blank=True)

    # An address of the concentrator that no other tunnel has: charon tells keys by both ends.
    hosted_peer = models.GenericIPAddressField(protocol="IPv4")
    remote_peer = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    preshared_key = SealedField(default=Sealed, blank=True)
    # 0 is both: this end starts IKEv2 and answers either.
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
    # Always so with IKEv1, which has one pair of selectors in a child.
    one_child_per_pair = models.BooleanField(default=False)
    # How long the peer may be silent before it is asked whether it is there; 0 never asks.
    dpd_seconds = models.PositiveSmallIntegerField(default=15)
    starts = models.CharField(max_length=6, choices=Starts, default=Starts.EITHER)

    # Keyed, of the draft as it stands: differs from a revision's exactly when something changed.
    draft_digest = models.CharField(max_length=32, blank=True, editable=False)

    # What `watch` last saw; it is the present only while the concentrator is in sight.
    sa_status = models.CharField(max_length=10, choices=SaStatus, blank=True)
    sa_status_at = models.DateTimeField(null=True)

    # Disconnected by somebody: the concentrator holds nothing of it until it is connected again.
    disconnected_at = models.DateTimeField(null=True, blank=True)
    disconnected_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    ordered_at = models.DateTimeField(null=True, blank=True)
    ordered_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    # What the form of its order was given, so that the same form orders no second one.
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
        """What the key of this row is sealed to."""
        return f"tunnel {self.pk} preshared key"

    def networks(self, *kinds: Subnet.Kind) -> tuple[IPv4Network, ...]:
        """The attached networks of these kinds, sorted; one query, none when prefetched."""
        return tuple(sorted(row.network for row in self.subnets.all() if row.kind in kinds))

    def latest(self) -> Revision | None:
        """The newest revision, whatever became of it."""
        return self.revisions.order_by("-number").first()

    def draft(self) -> TunnelSpec:
        """The draft as a specification; opens the preshared key."""
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
        )


class AddressTranslation(models.Model):
    """One filled row of the table: the provider's address, the customer's, and a name."""

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="translations")
    internal_address = models.GenericIPAddressField(protocol="IPv4")
    customer_address = models.GenericIPAddressField(protocol="IPv4")
    name = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("tunnel", "internal_address", name="one_row_per_address")
        ]

    def __str__(self) -> str:
        return f"{self.internal_address} to {self.customer_address}"

    def as_value(self) -> Translation:
        """The row as the domain has it."""
        internal, customer = number(self.internal_address), number(self.customer_address)
        return Translation(IPv4Address(internal), IPv4Address(customer), self.name)
