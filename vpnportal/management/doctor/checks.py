"""Checks of an installation: their results, their time limits, and the secrets that none prints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from threading import Thread
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from kombu.exceptions import OperationalError as BrokerError
from psycopg.errors import InsufficientPrivilege
from redis.exceptions import RedisError

from vpnportal.gateway import GatewayError
from vpnportal.gateway.requirements.findings import Finding, Level, at_risk, unmet
from vpnportal.management.database_backup import key_files

UNKNOWN = "unknown: "
# Their messages name hosts, users and files. Others might quote a URL with its password.
QUOTABLE = (DatabaseError, GatewayError, BrokerError, RedisError, OSError)
GATEWAY_KEYS = ("gateway.key", "concentrator.key")
# A shorter text is no secret, and would be replaced within words.
MIN_SECRET = 6
NO_NAME = "VPNPORTAL_CONCENTRATOR is not set: this gateway does not know its concentrator."
ENABLE_WORKER = "systemctl enable --now vpnportal-worker@NAME; `vpnportal` takes the name from it."


class Machine(StrEnum):
    """The role of a machine. A laboratory may have both."""

    PORTAL = "portal"
    GATEWAY = "gateway"


PORTAL = frozenset({Machine.PORTAL})
GATEWAY = frozenset({Machine.GATEWAY})
EACH = PORTAL | GATEWAY


@dataclass(frozen=True, slots=True)
class Check:
    """Functions that look at one thing and change nothing.

    Their findings are named `name`, or `name/part`. They run on `machines`, after the checks that
    they `need`, and for `seconds` at most. With `of_concentrator` they use its name.
    """

    name: str
    machines: frozenset[Machine]
    functions: tuple[Callable[[], Iterable[Finding]], ...]
    need: tuple[str, ...] = ()
    seconds: float = 15
    of_concentrator: bool = False


def unknown(name: str, reason: str, advice: str = "") -> Finding:
    """Return the finding that a check could not be done, which is never green."""
    return at_risk(
        name, UNKNOWN + reason, advice or "Remove this reason, and run the command again."
    )


class Doctor:
    """The checks of a machine. Each runs once, also if others need it."""

    def __init__(self, checks: Collection[Check]) -> None:
        self._checks = {check.name: check for check in checks}
        self._findings: dict[str, list[Finding]] = {}

    def findings(self, name: str) -> list[Finding]:
        """Return the findings of a check. The checks that it needs run before."""
        if name not in self._findings:
            check = self._checks[name]
            obstacle = self._obstacle(check)
            found = [obstacle] if obstacle else run_limited(check)
            self._findings[name] = [without_secrets(finding) for finding in found]
        return self._findings[name]

    def _obstacle(self, check: Check) -> Finding | None:
        """Return why a check cannot be done, or None."""
        if check.of_concentrator and not settings.CONCENTRATOR:
            return unknown(check.name, NO_NAME, ENABLE_WORKER)
        for need in check.need:
            if not self._is_good(need):
                advice = f"First do what {need} says."
                return unknown(check.name, f"it needs the check {need}.", advice)
        return None

    def _is_good(self, name: str) -> bool:
        return not any(
            finding.level is Level.ERROR or finding.text.startswith(UNKNOWN)
            for finding in self.findings(name)
        )


def run_limited(check: Check) -> list[Finding]:
    """Return the findings of a check, and another for each function that fails or is too slow.

    A thread, because a signal interrupts neither a name server nor a file system that is away.
    """
    findings: list[Finding] = []

    def run() -> None:
        for function in check.functions:
            try:
                for finding in function():
                    findings.append(finding)
            except Exception as error:
                findings.append(_failure(check.name, error))
        connections.close_all()

    thread = Thread(target=run, name=f"doctor {check.name}", daemon=True)
    thread.start()
    thread.join(check.seconds)
    if thread.is_alive():
        return [*findings, unknown(check.name, f"no answer within {check.seconds:g} s.")]
    return findings or [unknown(check.name, "the check found nothing.")]


def _failure(name: str, error: Exception) -> Finding:
    """Return the finding that a check failed."""
    if isinstance(error.__cause__, InsufficientPrivilege):
        text = f"PostgreSQL refuses what it needs: {reason_of(error)}."
        advice = "On the portal: `vpnportal migrate`, which gives the roles their rights again."
        return unmet(name, text, advice)
    return unknown(name, reason_of(error))


def duration(age: timedelta) -> str:
    """Return an age in seconds, or from two minutes on in minutes."""
    seconds = age.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:,.0f} minutes"


def reason_of(error: Exception) -> str:
    """Return the reason of a failure in one line."""
    if isinstance(error, QUOTABLE):
        return " ".join(str(error).split()) or type(error).__name__
    return f"the check itself failed ({type(error).__name__})."


def without_secrets(finding: Finding) -> Finding:
    """Return a finding without the secrets that this process knows."""
    text, remedy = finding.text, finding.remedy
    for secret in _secrets():
        text, remedy = text.replace(secret, "…"), remedy.replace(secret, "…")
    return replace(finding, text=text, remedy=remedy)


def _secrets() -> Iterator[str]:
    texts = [str(settings.DATABASES["default"].get("PASSWORD") or "")]
    with suppress(ImproperlyConfigured):
        texts.append(settings.SECRET_KEY)
    with suppress(ValueError):
        password = urlsplit(settings.CELERY_BROKER_URL).password or ""
        texts += [password, unquote(password)]
    with suppress(ValueError):
        password = urlsplit(settings.MAIL_URL).password or ""
        texts += [password, unquote(password)]
    for name in (*key_files.NAMES, *GATEWAY_KEYS):
        with suppress(OSError, ValueError):
            texts += (settings.KEYS / name).read_text().split()
    return (text for text in texts if len(text) >= MIN_SECRET)
