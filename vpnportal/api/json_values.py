"""JSON from untrusted bytes, with limits on depth, numbers and strings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

MAX_LEVELS = 32
INTEGER_DIGITS = 20
TOO_DEEP = f"it has more than {MAX_LEVELS} levels"


def parse(body: bytes) -> Any:
    """Return the value of a JSON document.

    Raises ValueError for invalid JSON (RFC 8259), and beyond a limit.
    """
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    _check(value, MAX_LEVELS)
    return value


def to_json(value: Any) -> bytes:
    """Return the value without blanks and line ends: softlayer-go compares the whole body."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError("an integer must fit into 64 bits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError("a number must be finite")
    return float(text)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object must not have a name twice")
    return members


def _check(value: Any, levels_left: int) -> None:
    if isinstance(value, str):
        # UnicodeEncodeError, for half a pair of surrogates, is a ValueError.
        if "\0" in value or not (value.isascii() or value.encode()):
            raise ValueError("a string must not contain NUL")
    elif isinstance(value, (dict, list)):
        if not levels_left:
            raise ValueError(TOO_DEEP)
        for item in value:
            _check(item, levels_left - 1)
        if isinstance(value, dict):
            for item in value.values():
                _check(item, levels_left - 1)
