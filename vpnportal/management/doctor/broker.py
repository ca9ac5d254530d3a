"""Checks of the queues: the broker answers, the rights of its users, the age of messages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from vpnportal.celery import DAILY_TASKS, EVERY_SECONDS, PORTAL_QUEUE
from vpnportal.clock import age_of
from vpnportal.deployment.broker_access import PORTAL_USER, gateway_user
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import Machine, duration, reason_of, unknown
from vpnportal.models import Concentrator

# Oldest messages of a queue in which a time is looked for.
MESSAGES_READ = 100
LOOK_AGAIN_SECONDS = 2.0
QUEUE_WARNING, QUEUE_ERROR = timedelta(seconds=90), timedelta(minutes=5)
# A name that no concentrator has, because its row allows no capital letter.
OTHER_QUEUE = "concentrator.OTHER"
FORBIDDEN = ("CONFIG GET port", "ACL LIST", "KEYS no-such-key", "CLIENT LIST")


@contextmanager
def broker_client() -> Iterator[redis.Redis]:
    """Connect to the broker with the settings of all processes, and yield the client of Redis."""
    options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, "socket_timeout": 3}
    tls = getattr(settings, "CELERY_BROKER_USE_SSL", False)
    with Connection(settings.CELERY_BROKER_URL, ssl=tls, transport_options=options) as connection:
        channel: Any = connection.default_channel
        yield channel.client


def broker() -> Iterator[Finding]:
    """Check that the broker answers this machine's user."""
    began = time.monotonic()
    try:
        with broker_client() as client:
            version = client.info("server")["redis_version"]
    except (RedisError, BrokerError, OSError) as error:
        yield _no_answer(error)
        return
    milliseconds = (time.monotonic() - began) * 1000
    yield met("broker", f"Redis {version} answers within {milliseconds:.0f} ms.")


def _no_answer(error: Exception) -> Finding:
    cause = error.__cause__ if isinstance(error.__cause__, RedisError) else error
    if isinstance(cause, AuthenticationError):
        return unmet(
            "broker",
            f"Redis refuses the user and password of VPNPORTAL_BROKER: {reason_of(cause)}",
            "For a gateway: `vpnportal gateway add NAME` on the portal, then `vpnportal gateway "
            "join` here. For the portal: remove its line in /etc/redis/vpnportal.acl, and run "
            "`vpnportal setup`.",
        )
    return unmet(
        "broker",
        f"It does not answer: {reason_of(error)}",
        "Start Redis on the portal (systemctl enable --now redis-server@vpnportal), or correct "
        "VPNPORTAL_BROKER and VPNPORTAL_BROKER_CA. On a gateway, also look at the route to the "
        "portal.",
    )


def portal_rights() -> Iterator[Finding]:
    """Check that the portal's user can use all queues, and not administer Redis."""
    needed = [f"LLEN {OTHER_QUEUE}", f"LRANGE {OTHER_QUEUE} 0 0", f"LINDEX {OTHER_QUEUE} -1"]
    return _rights(Machine.PORTAL, needed, FORBIDDEN)


def gateway_rights() -> Iterator[Finding]:
    """Check that a gateway's user can use its own queue, and only add to those of others."""
    name = settings.CONCENTRATOR
    needed = [
        f"LRANGE concentrator.{name} 0 0",
        f"HLEN unacked.{name}",
        f"ZCARD unacked_index.{name}",
        f"EXISTS unacked_mutex.{name}",
        f"SMEMBERS _kombu.binding.concentrator.{name}",
        f"LLEN {OTHER_QUEUE}",
    ]
    forbidden = (f"LRANGE {OTHER_QUEUE} 0 0", "HLEN unacked.OTHER", *FORBIDDEN)
    return _rights(Machine.GATEWAY, needed, forbidden)


def _rights(machine: Machine, needed: list[str], forbidden: tuple[str, ...]) -> Iterator[Finding]:
    name, parts = "broker_rights", urlsplit(settings.CELERY_BROKER_URL)
    if "socket" in parts.scheme:
        yield met(name, "The broker is a Unix socket, and the rights of its file decide.")
        return
    is_portal = machine is Machine.PORTAL
    user = PORTAL_USER if is_portal else gateway_user(settings.CONCENTRATOR)
    advice = (
        f"Remove the line of {user} in /etc/redis/vpnportal.acl, and run `vpnportal setup`."
        if is_portal
        else f"On the portal: `vpnportal gateway add {settings.CONCENTRATOR}`; then `vpnportal "
        "gateway join` here."
    )
    with broker_client() as client:
        refused = [command for command in needed if not _is_allowed(client, command)]
        allowed = [command for command in forbidden if _is_allowed(client, command)]
    if parts.username != user:
        yield at_risk(
            f"{name}/user", f"The user of VPNPORTAL_BROKER is {parts.username}, not {user}.", advice
        )
    if refused:
        text = f"Redis refuses {user} what it needs: {', '.join(refused)}."
        yield unmet(name, text, advice)
    if allowed:
        text = f"Redis allows {user} more than it needs: {', '.join(allowed)}."
        yield at_risk(name, text, advice)
    if not refused and not allowed:
        queues = "all queues" if is_portal else f"the queue of {settings.CONCENTRATOR}"
        yield met(name, f"The user {user} can use {queues}, and cannot administer Redis.")


def _is_allowed(client: redis.Redis, command: str) -> bool:
    """Return True if Redis executes a command, which must change nothing."""
    try:
        client.execute_command(*command.split())
    except NoPermissionError:
        return False
    return True


def queues() -> Iterator[Finding]:
    """Check the oldest message in the queue of each concentrator, and in the portal's own."""
    with broker_client() as client:
        yield _queue(
            client,
            "queues/portal",
            PORTAL_QUEUE,
            "systemctl restart vpnportal-tasks; its journal has the reason.",
        )
        for concentrator in Concentrator.objects.order_by("name"):
            yield _queue(
                client,
                f"queues/{concentrator.name}",
                concentrator.queue,
                f"On the gateway: systemctl restart vpnportal-worker@{concentrator.name}; its "
                "journal has the reason.",
            )


def _queue(client: redis.Redis, name: str, queue: str, advice: str) -> Finding:
    oldest = _oldest_messages(client, queue)
    if not oldest:
        return met(name, "The queue is empty.")
    length: Any = client.llen(queue)
    messages = "1 message" if length == 1 else f"{length:,} messages"
    sent_at = next(filter(None, map(_sent_at, oldest)), None)
    if sent_at is None:
        # An apply sends a message without a time, which the worker takes at once.
        time.sleep(LOOK_AGAIN_SECONDS)
        if oldest[0] not in _oldest_messages(client, queue)[:1]:
            return met(name, f"{messages}, and the worker takes them.")
    if sent_at is None:
        return unknown(name, f"{messages}, and none tells its age.", advice)
    age = age_of(sent_at)
    text = f"{messages}, of which the oldest has waited {duration(age)} or longer."
    if age > QUEUE_ERROR:
        return unmet(name, text, advice)
    return at_risk(name, text, advice) if age > QUEUE_WARNING else met(name, text)


def _oldest_messages(client: redis.Redis, queue: str) -> list[bytes]:
    """Return messages of a queue, the oldest first. Workers take them from the end of its list."""
    messages: Any = client.lrange(queue, -MESSAGES_READ, -1)
    return list(reversed(messages))


def _sent_at(message: bytes) -> datetime | None:
    """Return when a message was sent, or None: only those that expire after a minute tell it.

    beat sends one each minute, so a queue without a worker always has some.
    """
    try:
        headers = json.loads(message)["headers"]
        if headers.get("task") in DAILY_TASKS:
            return None
        moment = datetime.fromisoformat(headers.get("expires")) - timedelta(seconds=EVERY_SECONDS)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
