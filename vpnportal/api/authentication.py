"""Authentication by API key: a key belongs to one user in one account."""

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
from vpnportal.api.faults import invalid_key, passwords_refused, rate_limited
from vpnportal.models import ApiKey
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.rate_limit import TokenBuckets
from vpnportal.request_context import set_actor
from vpnportal.services import api_key_digest

log = logging.getLogger(__name__)

# User name of clients that can send only a key.
KEY_ONLY_USER = "apikey"
# The only method that clients call without a key.
PASSWORD_SIGN_IN = ("SoftLayer_User_Customer", "getPortalLoginToken")
LAST_USE_INTERVAL = timedelta(minutes=1)
BURST_SECONDS = 10
# Equal to the sign-in page: ten wrong keys of an address, then one a minute.
WRONG_KEYS = TokenBuckets(burst=10, per_second=1 / 60)
# The addresses from which a key was accepted: their programs with a key in the body are not refused
# because of a neighbour's wrong keys, up to this number.
ACCEPTED_ADDRESSES = TokenBuckets(burst=200, per_second=1)
CALLS = TokenBuckets(settings.API_RATE * BURST_SECONDS, settings.API_RATE)
_usable_keys = PreparedQuery(
    lambda digest, now: (
        ApiKey.objects.usable(now).filter(digest=digest).select_related("user", "account")
    ),
    CharField(),
    DateTimeField(),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and API key as the client sent them, unchecked."""

    name: str
    key: str = field(repr=False)


def basic_credentials(header: str) -> Credentials | None:
    """Return the credentials of an Authorization header (RFC 7617); None for another scheme."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, key = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Credentials(name, key) if colon else None


def await_turn(address: str) -> None:
    """Refuse to read a body without a key in the HTTP headers after too many wrong ones.

    A body of 1 MB takes some 0.2 s to parse. Raises Fault.
    """
    if address in ACCEPTED_ADDRESSES:
        seconds = ACCEPTED_ADDRESSES.seconds_to_wait(address)
    else:
        seconds = WRONG_KEYS.seconds_to_wait(address)
    if seconds:
        raise rate_limited(seconds)


def count_wrong(address: str) -> None:
    """Count a request of an IP address without a valid key."""
    WRONG_KEYS.take_token(address)
    if address in ACCEPTED_ADDRESSES:
        ACCEPTED_ADDRESSES.take_token(address)


def authenticate_body(call: Call, credentials: Credentials | None, address: str) -> Caller:
    """Return the caller that the credentials of a body identify. Raises Fault."""
    if credentials is None:
        count_wrong(address)
        if (call.service, call.method) == PASSWORD_SIGN_IN:
            raise passwords_refused()
        raise invalid_key()
    return authenticate(credentials, address)


def authenticate(credentials: Credentials, address: str) -> Caller:
    """Return the caller that the credentials identify.

    Wrong keys from an IP address do not block keys that this process has recently accepted. Raises
    the same Fault for every key that does not authenticate, another beyond a rate limit.
    """
    digest = api_key_digest(credentials.key)
    if digest not in CALLS and (seconds := WRONG_KEYS.seconds_to_wait(address)):
        raise rate_limited(seconds)
    key = next(iter(_usable_keys(digest, timezone.now())), None)
    if key is None or not _is_valid(key, credentials, address):
        count_wrong(address)
        log.warning("a wrong API key came from %s", address)
        raise invalid_key()
    if seconds := CALLS.take_token(digest):
        raise rate_limited(seconds)
    ACCEPTED_ADDRESSES.remember(address)
    _record_use(key, address)
    set_actor(key)
    return Caller(key, key.user, key.account)


def _is_valid(key: ApiKey, credentials: Credentials, address: str) -> bool:
    """Return True if the key accepts the sent user name and the client's IP address.

    The key was found by its digest, so that no timing reveals a correct prefix of the key.
    """
    name, sent_name = (
        text.encode(errors="surrogatepass") for text in (key.user.get_username(), credentials.name)
    )
    is_user = compare_digest(name, sent_name) or credentials.name == KEY_ONLY_USER
    return is_user and _is_allowed_source(key.sources, address)


def _is_allowed_source(sources: list[str], address: str) -> bool:
    if not sources:
        return True
    try:
        source = ip_address(address)
    except ValueError:
        return False
    return any(source in ip_network(network) for network in sources)


def _record_use(key: ApiKey, address: str) -> None:
    """Save the time and IP address of a key's last use, at most once per LAST_USE_INTERVAL.

    A DatabaseError is only logged, so that calls still succeed if the database is read-only.
    """
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < LAST_USE_INTERVAL:
        return
    is_due = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USE_INTERVAL)
    try:
        ApiKey.objects.filter(is_due, pk=key.pk).update(
            last_used_at=now, last_used_from=address[:45]
        )
    except DatabaseError:
        log.exception("the use of %s cannot be written", key)
