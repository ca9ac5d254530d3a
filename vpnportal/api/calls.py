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
    """Authenticated client: its API key, the user of the key and the one account of the key."""

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
    """Value to encode, made of structs, lists and scalars (str, int, bool, None).

    `total` is the number of objects in a list before the limit, and None for any other value.
    """

    value: Any
    total: int | None = None


def limit_and_offset(limit: object, offset: object) -> tuple[int | None, int]:
    """Return a limit and an offset as integers; a limit of 0 becomes None, which is no limit.

    Raises Fault unless both are whole numbers or strings of digits.
    """
    return _whole_number(limit) or None, _whole_number(offset)


def _whole_number(value: object) -> int:
    text = str(0 if value is None else value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_request("The result limit and its offset must be whole numbers.")
    return min(int(text), MAX_LIMIT)
