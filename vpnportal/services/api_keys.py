"""API keys: created, shown once, revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from ipaddress import ip_network

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from vpnportal.domain.tunnel.preshared_keys import RevealedKey
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, ApiKey
from vpnportal.models.row_locks import lock_account
from vpnportal.services.errors import Refused
from vpnportal.services.input_parsing import parse_name

# 256 bits as 64 characters: legacy clients tell a key from a password by its length.
KEY_BYTES = 32
# Of one user in one account: the limit makes users revoke forgotten keys.
MAX_KEYS = 20
MAX_NETWORKS = 20
MAX_LIFETIME = timedelta(days=3660)


def create_api_key(
    account: Account,
    user: User,
    name: str,
    last_day: date | None = None,
    sources: Sequence[str] = (),
) -> RevealedKey:
    """Create a key and return its text, which the database does not hold.

    `last_day` is the last valid date, in the current time zone. `sources` lists the client
    addresses or networks (CIDR) that may use the key.
    Raises Refused if an argument is invalid or the user is not a member of the account. Raises
    Refused if the user already has MAX_KEYS usable keys in the account.
    """
    name = _name(name)
    expires_at = _end_of_day(last_day) if last_day else None
    networks = _networks(sources)
    text = secrets.token_hex(KEY_BYTES)
    with transaction.atomic():
        lock_account(account.pk)
        if not account.memberships.filter(user=user).exists():
            raise Refused(Problem("", f"{user} is not a member of {account}."))
        usable = ApiKey.objects.usable(timezone.now()).filter(account=account, user=user)
        if usable.count() >= MAX_KEYS:
            limit = f"The limit is {MAX_KEYS} keys. Revoke a key that is not needed."
            raise Refused(Problem("", limit))
        ApiKey.objects.create(
            account=account,
            user=user,
            name=name,
            digest=api_key_digest(text),
            expires_at=expires_at,
            sources=networks,
        )
    return RevealedKey(text)


def revoke_api_key(key: ApiKey) -> None:
    """Revoke a key. The next request with the key fails."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


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


def _end_of_day(last_day: date) -> datetime:
    today = timezone.localdate()
    if not today <= last_day <= today + MAX_LIFETIME:
        raise Refused(Problem("last_day", "Enter a date from today on, within ten years."))
    return timezone.make_aware(datetime.combine(last_day, time.max))


def _networks(sources: Sequence[str]) -> list[str]:
    if len(sources) > MAX_NETWORKS:
        raise Refused(Problem("sources", f"Enter {MAX_NETWORKS} networks at most."))
    try:
        return [str(ip_network(source)) for source in sources]
    except ValueError:
        text = "Enter networks such as 192.0.2.0/24, separated by commas, or leave it empty."
        raise Refused(Problem("sources", text)) from None
