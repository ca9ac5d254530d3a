"""A call as both doors make it, who makes it, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from vpnportal.api.faults import bad_request
from vpnportal.models import Account, ApiKey

# More than there can be of anything, and less than a database's largest number.
MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A program: it acts as its key's user, in the one account that the key is for."""

    key: ApiKey
    user: User
    account: Account


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one service, as a client names them; nothing of it is checked yet.

    `init` is the id that the method is called on, None where none was given (0 is one). `mask` is a
    text, or the struct of very old clients; `filter` a struct.
    """

    service: str
    method: str
    init: object = None
    arguments: tuple[Any, ...] = ()
    mask: object = None
    filter: object = None
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Plain values (struct, list, str, int, bool, None), and how many there are without a limit.

    `total` is None for what is no list.
    """

    value: Any
    total: int | None = None


def limit_and_offset(limit: object, offset: object) -> tuple[int | None, int]:
    """From numbers or their texts; a limit of 0 is none."""
    return _number(limit) or None, _number(offset)


def _number(value: object) -> int:
    text = str(0 if value is None else value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_request("A result limit is a whole number, and so is its offset.")
    return min(int(text), MOST)
