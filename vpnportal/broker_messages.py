"""Limits of messages from the broker: a process that can write there ends no worker.

kombu reads each message as JSON, and its body may be compressed. A message that is too long, no
JSON, or no message is dropped and logged. A compressed one is refused by Celery, like any message
that it cannot decode.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from queue import Empty
from typing import Any

from kombu import compression
from kombu.transport import redis
from kombu.utils.json import loads

log = logging.getLogger(__name__)

# A message of the portal has ids only, and less than 2 KiB.
MAX_BYTES = 64 << 10


def limit_messages() -> None:
    """Refuse compressed messages, and let the transport drop malformed ones."""
    compression._decoders.clear()  # type: ignore[attr-defined]
    redis.loads = parse_message  # type: ignore[attr-defined]


def parse_message(text: str) -> Any:
    """Return a message, or the list of an unacknowledged message with its exchange and key.

    Raises Empty, which the transport takes for a queue without a message.
    """
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        value = loads(text)
        _check(value[0] if isinstance(value, list) and len(value) == 3 else value)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("A message of the broker was dropped: %.200r", error)
        raise Empty from None
    return value


def _check(message: object) -> None:
    """Raise ValueError or KeyError unless kombu can deliver the message."""
    if not isinstance(message, dict):
        raise ValueError("it is no message")
    properties, headers = message["properties"], message.get("headers") or {}
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        raise ValueError("it has no properties")
    if not isinstance(properties["delivery_tag"], str):
        raise ValueError("it has no delivery tag")
    info = properties["delivery_info"]
    if not isinstance(info, dict) or not isinstance(message.get("body", ""), str):
        raise ValueError("it has no delivery info or no body")
    if properties.get("body_encoding") not in (None, "base64"):
        raise ValueError("its body has another encoding")
    if properties.get("body_encoding") == "base64":
        b64decode(message.get("body", ""))
