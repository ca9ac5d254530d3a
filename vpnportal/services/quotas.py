"""Quotas: the most that one account may have, so that it leaves enough for the others.

The caller locks the account, so that two requests at once do not add more than the quota. What an
account has already stays, also above a quota that an operator lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.utils import timezone

from vpnportal.domain.addresses import address_count
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import (
    Account,
    AddressTranslation,
    ApiKey,
    Invitation,
    PeerProbe,
    RemoteClaim,
    Subnet,
    Tunnel,
)
from vpnportal.reconciler.peer_probe import EXPIRES_AFTER, OPEN_STATES
from vpnportal.services.errors import Refused

HOUR = timedelta(hours=1)


class Quota(StrEnum):
    """A name in `settings.QUOTAS`; `label` is the plural in texts."""

    TUNNELS = "tunnels"
    TRANSLATIONS = "translations"
    SUBNETS = "subnets"
    ADDRESSES = "addresses"
    API_KEYS = "api_keys"
    INVITATIONS = "invitations"
    PROBES = "probes"

    @property
    def label(self) -> str:
        """The counted things, in the plural."""
        return _LABELS.get(self, self.value)


_LABELS = {
    Quota.SUBNETS: "remote subnets",
    Quota.ADDRESSES: "reserved addresses",
    Quota.API_KEYS: "API keys",
    Quota.INVITATIONS: "pending invitations",
    Quota.PROBES: "running probes of peers",
}
_REMEDIES = {
    Quota.TUNNELS: "Delete a tunnel that is not needed",
    Quota.TRANSLATIONS: "Delete translations that are not needed",
    Quota.SUBNETS: "Delete remote subnets that are not needed",
    Quota.ADDRESSES: "Use smaller remote subnets",
    Quota.API_KEYS: "Revoke an API key that is not needed",
    Quota.INVITATIONS: "Revoke an invitation that is not needed",
    Quota.PROBES: "Wait for the result",
}


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """The number that an account has, and the most that it may have."""

    quota: Quota
    used: int
    limit: int

    @property
    def label(self) -> str:
        """The counted things, in the plural."""
        return self.quota.label

    @property
    def is_reached(self) -> bool:
        """True if the account may add nothing."""
        return self.used >= self.limit

    def refusal(self, added: int = 1) -> str:
        """Return a sentence that refuses to add this number, or "" if the quota allows it."""
        if added <= 0 or self.used + added <= self.limit:
            return ""
        more = f", and this would add {added:,}" if added > 1 else ""
        return (
            f"This account has {self.used:,} of {self.limit:,} {self.label}{more}. "
            f"{_REMEDIES[self.quota]}, or ask the service operators for more."
        )


def quota_use(account_id: int, quota: Quota) -> QuotaUse:
    """Return the use of one quota of an account."""
    (row,) = Account.objects.filter(pk=account_id).values_list(f"max_{quota}", flat=True)
    limit = settings.QUOTAS[quota] if row is None else row
    return QuotaUse(quota, _COUNTS[quota](account_id), limit)


def quota_uses(account_id: int, quotas: Iterable[Quota] = Quota) -> list[QuotaUse]:
    """Return the uses of quotas of an account."""
    return [quota_use(account_id, quota) for quota in quotas]


def refuse_over_quota(account_id: int, quota: Quota, added: int = 1, field: str = "") -> None:
    """Raise Refused if the account may not have `added` more. Without any, make no query."""
    if added > 0 and (text := quota_use(account_id, quota).refusal(added)):
        raise Refused(Problem(field, text))


def order_refusal(account_id: int) -> str:
    """Return a sentence that says why the account may not order a tunnel now, or ""."""
    return quota_use(account_id, Quota.TUNNELS).refusal() or _hourly_refusal(
        account_id, "ordered_at", "orders"
    )


def deletion_refusal(account_id: int) -> str:
    """Return a sentence that says why the account may not delete a tunnel now, or ""."""
    return _hourly_refusal(account_id, "cancelled_at", "deletions")


def _hourly_refusal(account_id: int, column: str, noun: str) -> str:
    now, limit = timezone.now(), settings.ORDERS_PER_HOUR
    # Times of the future are from before the clock was set back.
    lately = {f"{column}__range": (now - HOUR, now + HOUR)}
    if Tunnel.objects.filter(account=account_id, **lately).count() < limit:
        return ""
    return f"The limit is {limit:,} {noun} of an account in one hour. Try again later."


def _claimed_addresses(account_id: int) -> int:
    held = RemoteClaim.objects.held().filter(is_peer=False, revision__tunnel__account=account_id)
    return address_count(held.values_list("first", "last"))


def _open_probes(account_id: int) -> int:
    since = timezone.now() - EXPIRES_AFTER
    probes = PeerProbe.objects.filter(tunnel__account=account_id, state__in=OPEN_STATES)
    return probes.filter(created_at__gt=since).count()


_COUNTS: dict[Quota, Callable[[int], int]] = {
    Quota.TUNNELS: lambda pk: Tunnel.objects.present().filter(account=pk).count(),
    Quota.TRANSLATIONS: lambda pk: AddressTranslation.objects.filter(
        tunnel__account=pk, tunnel__cancelled_at=None
    ).count(),
    Quota.SUBNETS: lambda pk: Subnet.objects.filter(account=pk, kind=Subnet.Kind.CUSTOMER).count(),
    Quota.ADDRESSES: _claimed_addresses,
    Quota.API_KEYS: lambda pk: (
        ApiKey.objects.usable(timezone.now()).filter(account=pk).distinct().count()
    ),
    Quota.INVITATIONS: lambda pk: Invitation.objects.open().filter(account=pk).count(),
    Quota.PROBES: _open_probes,
}
