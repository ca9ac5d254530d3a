"""Values of JSON, read from untrusted bytes: depth, numbers and text are bounded."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

MOST_DEPTH = 32
INTEGER_DIGITS = 20


def parse(body: bytes) -> Any:
    """The value; ValueError for what is no JSON (RFC 8259) or goes beyond the limits."""
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("too deep") from None
    _check(value, MOST_DEPTH)
    return value


def to_json(value: Any) -> bytes:
    """Without a blank or a line end: clients compare the whole body."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError("an integer of 64 bits is expected")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError("a finite number is expected")
    return float(text)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is there twice")
    return members


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        # UnicodeEncodeError, for half a pair of surrogates, is a ValueError.
        if "\0" in value or not (value.isascii() or value.encode()):
            raise ValueError("text has no NUL")
    elif isinstance(value, (dict, list)):
        if not depth:
            raise ValueError("too deep")
        for one in value:
            _check(one, depth - 1)
        if isinstance(value, dict):
            for one in value.values():
                _check(one, depth - 1)
