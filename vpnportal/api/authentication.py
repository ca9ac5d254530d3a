"""Who calls: a key and its user's name, of one account."""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import timedelta
from hmac import compare_digest
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.db import DatabaseError
from django.db.models import CharField, DateTimeField, Q
from django.utils import timezone

from vpnportal.api.calls import Call, Caller
from vpnportal.api.faults import no_passwords, too_often, wrong_key
from vpnportal.api.prepared_query import PreparedQuery
from vpnportal.api.rate_limit import TokenBuckets
from vpnportal.models import ApiKey
from vpnportal.services.api_keys import digest_of

log = logging.getLogger(__name__)

# The user name of clients that send a key alone.
KEY_ALONE = "apikey"
# The one method that clients call without a key.
PASSWORD_FOR_TOKEN = ("SoftLayer_User_Customer", "getPortalLoginToken")
USE_IS_NOTED_EVERY = timedelta(minutes=1)
BURST_SECONDS = 10
# As at sign-in: ten wrong ones, and then one a minute.
WRONG = TokenBuckets(burst=10, per_second=1 / 60)
CALLS = TokenBuckets(settings.API_RATE * BURST_SECONDS, settings.API_RATE)
_usable = PreparedQuery(
    lambda digest, now: (
        ApiKey.objects.usable(now).filter(digest=digest).select_related("user", "account")
    ),
    CharField(),
    DateTimeField(),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """As they came, unchecked."""

    name: str
    key: str = field(repr=False)


def basic(header: str) -> Credentials | None:
    """Those of an Authorization header (RFC 7617); None for any other."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, key = b64decode(coded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Credentials(name, key) if colon else None


def authenticate(call: Call, credentials: Credentials | None, address: str) -> Caller:
    """Whoever has the key; a Fault, always the same one, where it is not good.

    A key that is in use is not locked out by wrong ones from the same address.
    """
    if credentials is None:
        if (call.service, call.method) == PASSWORD_FOR_TOKEN:
            raise no_passwords()
        raise wrong_key()
    digest = digest_of(credentials.key)
    if digest not in CALLS and (wait := WRONG.wait(address)):
        raise too_often(wait)
    key = next(iter(_usable(digest, timezone.now())), None)
    if key is None or not _is_good(key, credentials, address):
        WRONG.take(address)
        log.warning("a wrong API key came from %s", address)
        raise wrong_key()
    if wait := CALLS.take(digest):
        raise too_often(wait)
    _note_use(key, address)
    return Caller(key, key.user, key.account)


def _is_good(key: ApiKey, credentials: Credentials, address: str) -> bool:
    """The key is known by its digest already, so that no time tells how much of it is right."""
    name, given = (
        text.encode(errors="surrogatepass") for text in (key.user.get_username(), credentials.name)
    )
    known = compare_digest(name, given) or credentials.name == KEY_ALONE
    return known and _comes_from(key.sources, address)


def _comes_from(sources: list[str], address: str) -> bool:
    if not sources:
        return True
    try:
        came_from = ip_address(address)
    except ValueError:
        return False
    return any(came_from in ip_network(source) for source in sources)


def _note_use(key: ApiKey, address: str) -> None:
    """What only reads goes on when nothing can be written."""
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < USE_IS_NOTED_EVERY:
        return
    long_ago = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_IS_NOTED_EVERY)
    try:
        ApiKey.objects.filter(long_ago, pk=key.pk).update(
            last_used_at=now, last_used_from=address[:45]
        )
    except DatabaseError:
        log.exception("the use of %s cannot be written", key)
