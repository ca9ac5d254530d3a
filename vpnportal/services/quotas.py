"""Quotas: the most that one account may have, so that it leaves enough for the others.

The caller locks the account, so that two requests at once do not add more than the quota. A quota
that an operator lowered takes nothing away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, summarize_address_range
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone

from vpnportal.domain.addresses import address_count, claim_objection
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
    ((use,),) = quota_uses([account_id], [quota]).values()
    return use


def quota_uses(
    account_ids: Collection[int], quotas: Collection[Quota] = tuple(Quota)
) -> dict[int, list[QuotaUse]]:
    """Return the uses of quotas by account, in as many queries for many accounts as for one."""
    counts = {quota: _COUNTS[quota](account_ids) for quota in quotas}
    rows = Account.objects.filter(pk__in=account_ids).values("pk", *(f"max_{q}" for q in quotas))
    return {
        row["pk"]: [
            QuotaUse(quota, counts[quota].get(row["pk"], 0), _limit(row[f"max_{quota}"], quota))
            for quota in quotas
        ]
        for row in rows
    }


def _limit(own: int | None, quota: Quota) -> int:
    default: int = settings.QUOTAS[quota]
    return default if own is None else own


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


Counts = dict[int, int]


def _grouped(rows: QuerySet[Any], account: str = "account") -> Callable[[Collection[int]], Counts]:
    """Return a function from accounts to the number of rows of each; `account` is the path."""

    def count(account_ids: Collection[int]) -> Counts:
        own = rows.filter(**{f"{account}__in": account_ids}).order_by()
        return dict(own.values_list(account).annotate(Count("pk", distinct=True)))

    return count


def reserved_addresses(ranges: Iterable[tuple[int, int]]) -> int:
    """Return the number of addresses in claims of one account, by first and last address.

    Each address counts once, and none in networks that need a grant: operators allowed those.
    """
    return address_count(
        (first, last)
        for first, last in ranges
        for network in summarize_address_range(IPv4Address(first), IPv4Address(last))
        if not claim_objection(network, settings.CLAIM_PREFIX)
    )


def _claimed_addresses(account_ids: Collection[int]) -> Counts:
    """Return the number of addresses that the accounts reserve."""
    path = "revision__tunnel__account"
    held = RemoteClaim.objects.held().filter(is_peer=False, **{f"{path}__in": account_ids})
    ranges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for account, first, last in held.values_list(path, "first", "last"):
        ranges[account].append((first, last))
    return {account: reserved_addresses(own) for account, own in ranges.items()}


def _open_probes(account_ids: Collection[int]) -> Counts:
    since = timezone.now() - EXPIRES_AFTER
    probes = PeerProbe.objects.filter(state__in=OPEN_STATES, created_at__gt=since)
    return _grouped(probes, "tunnel__account")(account_ids)


_COUNTS: dict[Quota, Callable[[Collection[int]], Counts]] = {
    Quota.TUNNELS: _grouped(Tunnel.objects.present()),
    Quota.TRANSLATIONS: _grouped(
        AddressTranslation.objects.filter(tunnel__cancelled_at=None), "tunnel__account"
    ),
    Quota.SUBNETS: _grouped(Subnet.objects.filter(kind=Subnet.Kind.CUSTOMER)),
    Quota.ADDRESSES: _claimed_addresses,
    Quota.API_KEYS: lambda pks: _grouped(ApiKey.objects.usable(timezone.now()))(pks),
    Quota.INVITATIONS: lambda pks: _grouped(Invitation.objects.open())(pks),
    Quota.PROBES: _open_probes,
}
