"""Limits of guesses at passwords, counted in the database for all processes.

Each guess is counted before it is evaluated, so that parallel ones are not evaluated beyond the
limit. There are three kinds of counters: for each network of clients, for each user name, also one
that no user has, and for each browser in which the user signed in before. Such a browser has only
its own counter: guesses of strangers do not lock its user out (OWASP, "device cookies").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from vpnportal.models import AttemptCounter, UserIdentity
from vpnportal.user_names import skeleton_of

# A customer's network has at least a /64 of IPv6 addresses (RFC 6177).
IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` attempts at once, then a delay after each. The delay doubles up to `longest`.

    A counter without an attempt for the time `forgotten` begins at 0.
    """

    kind: str
    free: int
    first: timedelta
    longest: timedelta
    forgotten: timedelta


TEN_MINUTES = timedelta(minutes=10)
NETWORK = Rule("network", 10, TEN_MINUTES, TEN_MINUTES, TEN_MINUTES)
NAME = Rule("name", 5, timedelta(seconds=30), timedelta(hours=1), timedelta(days=1))
BROWSER = Rule("browser", 10, TEN_MINUTES, TEN_MINUTES, TEN_MINUTES)


class TooManyAttempts(Exception):
    """A refusal without an evaluation of the password. `rule` is the one whose limit is reached."""

    def __init__(self, rule: Rule, until: datetime) -> None:
        super().__init__(rule.kind)
        self.rule = rule
        self.until = until


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt. `counters` has the rule and the key of each of its counters."""

    counters: tuple[tuple[Rule, str], ...]

    def succeeded(self) -> None:
        """Count the attempt no longer. Other attempts stay counted, and delayed."""
        for rule, key in self.counters:
            with transaction.atomic():
                counters = AttemptCounter.objects.select_for_update()
                counter = counters.filter(pk=key, count__gt=0).first()
                if counter:
                    counter.count -= 1
                    counter.blocked_until = _blocked_until(rule, counter)
                    counter.save()


def begin_attempt(address: str, name: str, browser: str = "") -> Attempt:
    """Count an attempt at the password of a user name. Raises TooManyAttempts.

    `browser` is the id of a browser in which this user signed in before.
    """
    now = timezone.now()
    if browser:
        key = _key(BROWSER, browser)
        if _count(BROWSER, key, now) is None:
            return Attempt(((BROWSER, key),))
    subjects = ((NETWORK, network_of(address)), (NAME, skeleton_of(name)))
    counters = tuple((rule, _key(rule, subject)) for rule, subject in subjects)
    _refuse_blocked(counters, now)
    for rule, key in counters:
        if until := _count(rule, key, now):
            raise TooManyAttempts(rule, until)
    return Attempt(counters)


def network_of(address: str) -> str:
    """Return the network whose addresses have one counter: a /64 of IPv6, else the address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed)


def note_failure(name: str) -> None:
    """Count a failed sign-in for the user of this name, who sees the number later."""
    failed = UserIdentity.objects.filter(user__username=name)
    failed.update(failed_sign_ins=F("failed_sign_ins") + 1)


def note_sign_in(user: User) -> int:
    """Begin the count of failed sign-ins at 0. Return their number since the last sign-in."""
    with transaction.atomic():
        identity = UserIdentity.objects.filter(user=user)
        identity.update(failed_before=F("failed_sign_ins"), failed_sign_ins=0)
    return identity.values_list("failed_before", flat=True).first() or 0


def forget_attempts() -> int:
    """Remove all counters, so that all may try again. Return their number."""
    return AttemptCounter.objects.all().delete()[0]


def _refuse_blocked(counters: tuple[tuple[Rule, str], ...], now: datetime) -> None:
    """Refuse blocked guesses with one query: guesses that go on cost little, and no lock."""
    rules = {key: rule for rule, key in counters}
    blocked = AttemptCounter.objects.filter(pk__in=rules, blocked_until__gt=now)
    if counter := blocked.order_by("blocked_until").last():
        raise TooManyAttempts(rules[counter.pk], counter.blocked_until or now)


def _count(rule: Rule, key: str, now: datetime) -> datetime | None:
    """Count an attempt, and return None. If it is refused, return the time until which it is."""
    with transaction.atomic():
        counter, _ = AttemptCounter.objects.select_for_update().get_or_create(
            pk=key, defaults={"at": now}
        )
        if counter.blocked_until and counter.blocked_until > now:
            return counter.blocked_until
        if counter.at <= now - rule.forgotten:
            counter.count = 0
        counter.count += 1
        counter.at = now
        counter.blocked_until = _blocked_until(rule, counter)
        counter.save()
    return None


def _blocked_until(rule: Rule, counter: AttemptCounter) -> datetime | None:
    excess = counter.count - rule.free
    # No power of two beyond this one is shorter than the longest delay.
    delay = min(rule.first * 2 ** min(max(excess, 0), 20), rule.longest)
    return counter.at + delay if excess >= 0 else None


def _key(rule: Rule, subject: str) -> str:
    return f"{rule.kind}:{hashlib.sha256(subject.encode()).hexdigest()[:48]}"
