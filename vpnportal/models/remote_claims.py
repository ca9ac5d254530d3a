"""Claims: remote networks that a tunnel reserves at a concentrator, and grants of large ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Network

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from vpnportal.domain.addresses import claim_objection, starts_around
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.fields import NetworkField
from vpnportal.models.accounts import Account
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.revisions import Revision
from vpnportal.models.tunnels import Tunnel

# Refused applies of an account are limited in this time.
REFUSALS_COUNT_FOR = timedelta(hours=1)
# Above this, a condition on ids costs more than the join that it spares.
MAX_IDS = 500


def claim_duration() -> timedelta:
    """Return how long the claims of a tunnel count that was never up."""
    return timedelta(days=settings.CLAIM_DAYS)


def _is_held() -> Q:
    """Return the condition of claims of live, unfinished and fallback revisions."""
    return Q(revision__outcome__in=Revision.HOLDING)


def _failed_lately() -> Q:
    """Return the condition of claims of revisions that were up before they failed, lately."""
    return Q(
        revision__outcome=Revision.Outcome.FAILED,
        revision__first_up_at__isnull=False,
        revision__finished_at__gt=timezone.now() - claim_duration(),
    )


def _ends(network: IPv4Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _contains(network: IPv4Network) -> Q:
    """Return the condition of claims that contain a network: few addresses can begin them."""
    return Q(first__in=starts_around(network), last__gte=_ends(network)[1])


class RemoteClaimQuerySet(models.QuerySet["RemoteClaim"]):
    """Claims, with filters for those that count, and the operation that adds them."""

    def reserve(self, revision: Revision, spec: TunnelSpec) -> None:
        """Write the claims of a new revision, and delete those of its tunnel that ended."""
        self._replace_ended(revision, RemoteClaim.all_of(revision, spec))

    def reserve_again(self, revision: Revision, earlier: Revision) -> None:
        """Write the claims of an earlier revision for a new one that restores it."""
        claims = [
            RemoteClaim(revision=revision, first=row.first, last=row.last, is_peer=row.is_peer)
            for row in self.filter(revision=earlier).order_by("pk")
        ]
        self._replace_ended(revision, claims)

    def _replace_ended(self, revision: Revision, claims: Iterable[RemoteClaim]) -> None:
        own = self.filter(revision__tunnel=revision.tunnel_id)
        own.exclude(_is_held() | _failed_lately()).delete()
        RemoteClaim.objects.bulk_create(claims)

    def at(self, concentrator: Concentrator) -> RemoteClaimQuerySet:
        """Return the claims at a concentrator."""
        return self.filter(revision__concentrator=concentrator)

    def of_others(self, tunnel: Tunnel | int) -> RemoteClaimQuerySet:
        """Return the claims of other tunnels than this one, given by row or id."""
        return self.exclude(revision__tunnel=tunnel)

    def held(self) -> RemoteClaimQuerySet:
        """Return the claims of live, unfinished and fallback revisions."""
        return self.filter(_is_held())

    def reserved(self) -> RemoteClaimQuerySet:
        """Return the held claims, and those of revisions that failed lately after they were up.

        charon may refuse a revision that was live, such as after an upgrade.
        """
        newer = Revision.objects.holding().filter(
            tunnel=OuterRef("revision__tunnel"), number__gt=OuterRef("revision__number")
        )
        present = Q(~Exists(newer), revision__tunnel__cancelled_at=None)
        return self.filter(_is_held() | (_failed_lately() & present))

    def in_force(self) -> RemoteClaimQuerySet:
        """Return the reserved claims that others must respect.

        A tunnel that was never up has them until its `claims_until`.
        """
        until = Q(revision__tunnel__claims_until=None)
        until |= Q(revision__tunnel__claims_until__gt=timezone.now())
        return self.reserved().filter(until)

    def expired(self) -> RemoteClaimQuerySet:
        """Return the held networks that others may take: their tunnels were not up in time."""
        is_over = Q(revision__tunnel__claims_until__lte=timezone.now())
        return self.held().filter(is_over, is_peer=False)

    def overlapping(self, networks: Iterable[IPv4Network]) -> RemoteClaimQuerySet:
        """Return the claims that overlap any of the networks.

        Reads their ids first, from the index of addresses. With joins and 10,000 tunnels, SQLite
        begins at the revisions instead, and takes 0.1 s.
        """
        overlap = Q(pk__in=())
        for network in networks:
            overlap |= Q(first__range=_ends(network)) | _contains(network)
        pks = list(RemoteClaim.objects.filter(overlap).values_list("pk", flat=True))
        return self.filter(overlap if len(pks) > MAX_IDS else Q(pk__in=pks))

    def covering(self, network: IPv4Network) -> RemoteClaimQuerySet:
        """Return the claims that contain the whole network."""
        return self.filter(_contains(network))


class RemoteClaim(models.Model):
    """A remote network or the peer of a revision, unencrypted, so that one query finds overlaps."""

    revision = models.ForeignKey(Revision, models.CASCADE, related_name="claims")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    # The address of the peer, which no network of another tunnel may contain.
    is_peer = models.BooleanField(default=False)

    objects = RemoteClaimQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("first", "last", name="claims_by_address")]

    def __str__(self) -> str:
        return f"{self.first} to {self.last} by {self.revision_id}"

    @classmethod
    def all_of(cls, revision: Revision, spec: TunnelSpec) -> list[RemoteClaim]:
        """Return the claims of a revision, unsaved.

        The peer's address is one. The remote networks are, unless it has translated access only.
        """
        networks = () if spec.translated_only else spec.remote_subnets
        claims = [cls.of(revision, network) for network in networks]
        if spec.remote_peer:
            claims.append(cls.of(revision, IPv4Network(spec.remote_peer), is_peer=True))
        return claims

    @classmethod
    def of(cls, revision: Revision, network: IPv4Network, *, is_peer: bool = False) -> RemoteClaim:
        """Return the claim of one network, or of the address of the peer, unsaved."""
        return cls(
            revision=revision,
            first=int(network.network_address),
            last=int(network.broadcast_address),
            is_peer=is_peer,
        )


class NetworkGrantQuerySet(models.QuerySet["NetworkGrant"]):
    """Grants, with the question that Apply has for them."""

    def missing(self, account_id: int, networks: tuple[IPv4Network, ...]) -> list[IPv4Network]:
        """Return the networks that need a grant which the account lacks. No query without them."""
        least = settings.CLAIM_PREFIX
        needing = [network for network in networks if claim_objection(network, least)]
        if not needing:
            return []
        granted = self.filter(account=account_id).values_list("network", flat=True)
        allowed = list(granted)
        return [net for net in needing if not any(net.subnet_of(grant) for grant in allowed)]


class RefusedApplyQuerySet(models.QuerySet["RefusedApply"]):
    """Refused applies, with a filter for those of the last hour."""

    def lately(self) -> RefusedApplyQuerySet:
        """Return those of the last hour, and those of a clock that was ahead."""
        now = timezone.now()
        return self.filter(at__range=(now - REFUSALS_COUNT_FOR, now + REFUSALS_COUNT_FOR))


class RefusedApply(models.Model):
    """An apply that was refused because others have a network or a peer that it needs.

    Each refusal says that an address is in use, so an account has few of them in an hour.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="refused_applies")
    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="refused_applies")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    # The remote subnets and the remote peer of the draft, for the operators.
    addresses = models.TextField(blank=True)

    objects = RefusedApplyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "refused applies"
        indexes = [models.Index("account", "at", name="refusals_by_account")]

    def __str__(self) -> str:
        return f"apply of {self.tunnel} at {self.at:%Y-%m-%d %H:%M:%S}"


class NetworkGrant(models.Model):
    """The permission of an account to claim a public network, or a larger one than others may.

    `settings.CLAIM_PREFIX` is the least prefix length without a grant.

    `granted_by` is None for what an account had before grants existed.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="network_grants")
    network = NetworkField()
    granted_by = models.ForeignKey(User, models.SET_NULL, null=True, editable=False)
    granted_at = models.DateTimeField(auto_now_add=True)

    objects = NetworkGrantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "account",
                "network",
                name="one_grant_per_network",
                violation_error_message="This account has this grant already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.network} for {self.account}"
