"""Calls and results, independent of the wire protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from vpnportal.api.faults import bad_request
from vpnportal.models import Account, ApiKey

# Above every number of rows, and below the largest integer of a database.
MAX_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A program. It acts as the user of its key, in the one account of that key."""

    key: ApiKey
    user: User
    account: Account


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the client sent it, with nothing checked yet.

    `object_id` is the init id of the call. None means that the client sent no id; 0 is an id.
    `mask` is a string, or the struct of very old clients. `filter` is a struct.
    """

    service: str
    method: str
    object_id: object = None
    arguments: tuple[Any, ...] = ()
    mask: object = None
    filter: object = None
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Plain values (struct, list, str, int, bool, None) to encode.

    `total` is the size of a list before its limit, and None for any other value.
    """

    value: Any
    total: int | None = None


def limit_and_offset(limit: object, offset: object) -> tuple[int | None, int]:
    """Return a limit and an offset from numbers or digits; a limit of 0 means none.

    Raises Fault unless both are whole numbers.
    """
    return _whole_number(limit) or None, _whole_number(offset)


def _whole_number(value: object) -> int:
    text = str(0 if value is None else value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_request("The result limit and its offset must be whole numbers.")
    return min(int(text), MAX_LIMIT)
