"""API keys: created, shown once, revoked; and the mail before one ends."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from ipaddress import ip_network

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from vpnportal.domain.tunnel.preshared_keys import RevealedKey
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, ApiKey, Event, Scope, record_event
from vpnportal.models.row_locks import lock_account
from vpnportal.services.errors import Refused
from vpnportal.services.input_parsing import parse_name
from vpnportal.services.notices import notify, notify_owners
from vpnportal.services.quotas import Quota, refuse_over_quota

# 256 bits as 64 characters: legacy clients tell a key from a password by its length.
KEY_BYTES = 32
# Of one user in one account: the limit makes users revoke forgotten keys.
MAX_KEYS = 20
MAX_NETWORKS = 20
MAX_LIFETIME = timedelta(days=3660)
WARNING_DAYS = 14


def create_api_key(
    account: Account,
    user: User,
    name: str,
    last_day: date | None = None,
    sources: Sequence[str] = (),
    *,
    first_day: date | None = None,
    scope: str = Scope.ORDER,
) -> RevealedKey:
    """Create a key and return its text, which the database does not hold.

    `first_day` and `last_day` are the valid dates, in the current time zone. `sources` lists the
    client addresses or networks (CIDR) that may use the key.
    Raises Refused if an argument is invalid or the user is not a member of the account. Raises
    Refused if the user already has MAX_KEYS usable keys in the account, or by the account's quota.
    """
    name = _name(name)
    if scope not in Scope:
        raise Refused(Problem("scope", "Choose the permission of the key from the list."))
    starts_at, expires_at = _period(first_day, last_day)
    networks = _networks(sources)
    text = secrets.token_hex(KEY_BYTES)
    with transaction.atomic():
        lock_account(account.pk)
        if not account.memberships.filter(user=user).exists():
            raise Refused(Problem("", f"{user} is not a member of {account}."))
        if _current_keys(timezone.now()).filter(account=account, user=user).count() >= MAX_KEYS:
            limit = f"The limit is {MAX_KEYS} keys. Revoke a key that is not needed."
            raise Refused(Problem("", limit))
        refuse_over_quota(account.pk, Quota.API_KEYS)
        ApiKey.objects.create(
            account=account,
            user=user,
            name=name,
            digest=api_key_digest(text),
            scope=scope,
            starts_at=starts_at,
            expires_at=expires_at,
            sources=networks,
        )
        after = {"user": user.get_username(), "last_day": last_day, "sources": networks}
        record_event(Event.Action.API_KEY_CREATED, account=account, subject=name, after=after)
        notice = f"{user} made the API key {name} for {account}. It has the role of {user}."
        notify_owners(account, f"New API key of {account}", notice, also=[user])
    return RevealedKey(text)


def revoke_api_key(key: ApiKey) -> None:
    """Revoke a key. The next request with the key fails."""
    with transaction.atomic():
        valid = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        if valid.update(revoked_at=timezone.now()):
            before = {"user": key.user.get_username()}
            record_event(
                Event.Action.API_KEY_REVOKED, account=key.account, subject=key.name, before=before
            )


def warn_of_ending_keys() -> int:
    """Mail the users whose keys end within WARNING_DAYS, once for each key. Return how many.

    A user without a confirmed address gets none.
    """
    now = timezone.now()
    ending = ApiKey.objects.usable(now).filter(
        warned_at=None, expires_at__lt=now + timedelta(days=WARNING_DAYS)
    )
    count = 0
    for key in ending.select_related("user", "account").order_by("pk"):
        with transaction.atomic():
            if ApiKey.objects.filter(pk=key.pk, warned_at=None).update(warned_at=now):
                count += 1
                end = f"{key.expires_at:%Y-%m-%d %H:%M} UTC"
                notify(
                    [key.user],
                    f"The API key {key.name} ends on {end}",
                    f"The API key {key.name} of {key.user} in the account {key.account} ends on "
                    f"{end}. The program that uses it is refused from then on.\n\n"
                    "Create another key on the page Accounts, and revoke this one.",
                )
    return count


def api_key_digest(text: str) -> str:
    """Return the SHA-256 digest of an API key in hexadecimal, as the database stores it."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _name(text: str) -> str:
    try:
        name = parse_name(text)
    except ValueError as error:
        raise Refused(Problem("name", str(error))) from None
    if not name:
        raise Refused(Problem("name", "Enter a name for the program that uses the key."))
    return name


def _current_keys(now: datetime) -> QuerySet[ApiKey]:
    """Return the keys that are neither revoked nor expired."""
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def _period(first_day: date | None, last_day: date | None) -> tuple[datetime | None, ...]:
    """Return the first and the last moment of a key, each None without a limit."""
    today = timezone.localdate()
    for name, day in (("first_day", first_day), ("last_day", last_day)):
        if day and not today <= day <= today + MAX_LIFETIME:
            raise Refused(Problem(name, "Enter a date from today on, within ten years."))
    if first_day and last_day and last_day < first_day:
        raise Refused(Problem("last_day", "Enter a last day that is not before the first day."))
    begins, ends = (first_day, time.min), (last_day, time.max)
    return tuple(
        timezone.make_aware(datetime.combine(day, moment)) if day else None
        for day, moment in (begins, ends)
    )


def _networks(sources: Sequence[str]) -> list[str]:
    if len(sources) > MAX_NETWORKS:
        raise Refused(Problem("sources", f"Enter {MAX_NETWORKS} networks at most."))
    try:
        return [str(ip_network(source)) for source in sources]
    except ValueError:
        text = "Enter networks such as 192.0.2.0/24, separated by commas, or leave it empty."
        raise Refused(Problem("sources", text)) from None
