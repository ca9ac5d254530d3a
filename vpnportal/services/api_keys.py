"""Keys of programs: made, shown once, and revoked."""

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
from vpnportal.services import input_parsing
from vpnportal.services.errors import Refused

# 256 bits as 64 characters: by their number the old clients tell a key from a password.
KEY_BYTES = 32
# Of one user in one account; forgotten ones are revoked before more are made.
KEYS_AT_MOST = 20
NETWORKS_AT_MOST = 20
LONGEST = timedelta(days=3660)


def create(
    account: Account,
    user: User,
    name: str,
    last_day: date | None = None,
    sources: Sequence[str] = (),
) -> RevealedKey:
    """The text of a new key, which is kept nowhere.

    `last_day` is one in the zone of whoever makes it, `sources` are addresses or networks in CIDR
    notation. Refused for a key without a name or with a day that has passed, for what is no
    network, and for somebody who does not belong there.
    """
    name = _name(name)
    expires_at = _end_of(last_day) if last_day else None
    networks = _networks(sources)
    text = secrets.token_hex(KEY_BYTES)
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        if not account.memberships.filter(user=user).exists():
            raise Refused(Problem("", f"{user} does not belong to {account}."))
        if (
            ApiKey.objects.usable(timezone.now()).filter(account=account, user=user).count()
            >= KEYS_AT_MOST
        ):
            problem = f"There are {KEYS_AT_MOST} keys: revoke one that is not needed."
            raise Refused(Problem("", problem))
        ApiKey.objects.create(
            account=account,
            user=user,
            name=name,
            digest=digest_of(text),
            expires_at=expires_at,
            sources=networks,
        )
    return RevealedKey(text)


def revoke(key: ApiKey) -> None:
    """From the next request on it lets nobody in."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def digest_of(text: str) -> str:
    """What is kept of a key, and what it is looked up by."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _name(text: str) -> str:
    try:
        name = input_parsing.name(text)
    except ValueError as error:
        raise Refused(Problem("name", str(error))) from None
    if not name:
        raise Refused(Problem("name", "Enter a name that says which program has the key."))
    return name


def _end_of(last_day: date) -> datetime:
    today = timezone.localdate()
    if not today <= last_day <= today + LONGEST:
        raise Refused(Problem("last_day", "Enter a day from today on, within ten years."))
    return timezone.make_aware(datetime.combine(last_day, time.max))


def _networks(sources: Sequence[str]) -> list[str]:
    if len(sources) > NETWORKS_AT_MOST:
        raise Refused(Problem("sources", f"Enter {NETWORKS_AT_MOST} networks at most."))
    try:
        return [str(ip_network(source)) for source in sources]
    except ValueError:
        text = "Enter networks such as 192.0.2.0/24, one after the other, or leave it empty."
        raise Refused(Problem("sources", text)) from None
