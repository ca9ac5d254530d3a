"""Conditions of object filters on one value: the operators, and the loose way they compare.

Values come as clients see them: numbers, texts, and times as text. A pattern of `~` is looked for
as it is written: an expression of somebody else's could take for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

Condition = Callable[[Any], bool]
# In the order in which they are looked for: the longer ones first.
TEXTUAL: dict[str, Callable[[str, str], bool]] = {
    "!^=": lambda value, text: not value.startswith(text),
    "!$=": lambda value, text: not value.endswith(text),
    "!*=": lambda value, text: text not in value,
    "!~": lambda value, text: text not in value,
    "!=": lambda value, text: value != text,
    "^=": lambda value, text: value.startswith(text),
    "$=": lambda value, text: value.endswith(text),
    "*=": lambda value, text: text in value,
    "_=": lambda value, text: value.casefold() == text.casefold(),
    "~": lambda value, text: text in value,
}
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda value, than: value >= than,
    "<=": lambda value, than: value <= than,
    ">": lambda value, than: value > than,
    "<": lambda value, than: value < than,
}
AGO = re.compile(r"(?:sysdate|currentDate)\s*(?:-\s*(\d{1,5}))?", re.I | re.ASCII)
NUMBER = re.compile(r"[+-]?\d{1,19}(?:\.\d{1,19})?", re.ASCII)
AMERICAN = ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M")


class Malformed(ValueError):
    """No condition can be read: there is none, then."""


def read(operation: object, options: object, now: datetime) -> Condition:
    """What a leaf of a filter says; Malformed where it says nothing."""
    if isinstance(operation, str) and operation in WITH_OPTIONS:
        return WITH_OPTIONS[operation](by_name(options), now)
    return _of(operation, now)


def loose_text(value: object) -> str:
    """445 is "445", and true is "1"."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def order_key(value: object) -> tuple[int, float, str]:
    """What is missing comes first, then numbers, then texts."""
    if value is None:
        return (0, 0, "")
    text = loose_text(value)
    return (1, float(text), "") if NUMBER.fullmatch(text) else (2, 0, text)


def _of(operation: object, now: datetime) -> Condition:
    if isinstance(operation, (dict, list)):
        raise Malformed
    if operation in (None, "is null"):
        return lambda value: value is None
    if operation == "not null":
        return lambda value: value is not None
    return (
        _compared(operation, now) if isinstance(operation, str) else _equals(loose_text(operation))
    )


def _compared(operation: str, now: datetime) -> Condition:
    for sign, textual in TEXTUAL.items():
        if operation.startswith(sign):
            return _textual(textual, operation.removeprefix(sign).strip(), sign)
    for sign, compare in ORDERED.items():
        if operation.startswith(sign):
            return _ordered(compare, operation.removeprefix(sign).strip(), now)
    return _equals(operation.removeprefix("=").strip())


def _equals(text: str) -> Condition:
    return lambda value: value is not None and loose_text(value) == text


def _textual(compare: Callable[[str, str], bool], text: str, sign: str) -> Condition:
    if not text and sign not in ("!=", "_="):
        raise Malformed
    return lambda value: value is not None and compare(loose_text(value), text)


def _ordered(compare: Callable[[Any, Any], bool], text: str, now: datetime) -> Condition:
    """Numbers with numbers, times with times, and otherwise texts."""
    if ago := AGO.fullmatch(text):
        since = now - timedelta(days=int(ago[1] or 0))
        return lambda value: (at := _time(value)) is not None and compare(*_both(at, since))
    if NUMBER.fullmatch(text):
        return lambda value: bool(
            value is not None
            and NUMBER.fullmatch(loose_text(value))
            and compare(float(loose_text(value)), float(text))
        )
    than = _time(text)
    if than is None:
        return lambda value: value is not None and compare(loose_text(value), text)
    return lambda value: (at := _time(value)) is not None and compare(*_both(at, than))


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in AMERICAN:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None


def _both(one: datetime, other: datetime) -> tuple[datetime, datetime]:
    """A time without a zone is in that of the one it is compared with."""
    if one.tzinfo and other.tzinfo:
        return one, other
    return one.replace(tzinfo=None), other.replace(tzinfo=None)


Options = dict[str, Sequence[Any]]


def by_name(options: object) -> Options:
    """`[{"name": "data", "value": [1, 2]}]` as {"data": [1, 2]}; Malformed for what is none."""
    if not isinstance(options, list):
        raise Malformed
    found: Options = {}
    for option in options:
        if not isinstance(option, dict) or not isinstance(option.get("name"), str):
            raise Malformed
        value = option.get("value")
        found[option["name"]] = value if isinstance(value, list) else [value]
    return found


def _in(options: Options, now: datetime) -> Condition:
    texts = {loose_text(one) for one in options.get("data", ())}
    return lambda value: value is not None and loose_text(value) in texts


def _not_in(options: Options, now: datetime) -> Condition:
    among = _in(options, now)
    return lambda value: value is not None and not among(value)


def _any(options: Options, now: datetime) -> Condition:
    several = [_of(one, now) for one in options.get("data", ())]
    return lambda value: any(one(value) for one in several)


def _all(options: Options, now: datetime) -> Condition:
    several = [_of(one, now) for one in options.get("data", ())]
    return lambda value: all(one(value) for one in several)


def _dated(name: str, compare: Callable[[Any, Any], bool]) -> Callable[..., Condition]:
    def read(options: Options, now: datetime) -> Condition:
        than = _option_time(options, name)
        return lambda value: (at := _time(value)) is not None and compare(*_both(at, than))

    return read


def _between(options: Options, now: datetime) -> Condition:
    after = _dated("startDate", ORDERED[">="])(options, now)
    before = _dated("endDate", ORDERED["<="])(options, now)
    return lambda value: after(value) and before(value)


def _option_time(options: Options, name: str) -> datetime:
    (text, *_) = options.get(name) or [None]
    if (at := _time(text)) is None:
        raise Malformed
    return at


WITH_OPTIONS: dict[str, Callable[[Options, datetime], Condition]] = {
    "in": _in,
    "not in": _not_in,
    "or": _any,
    "and": _all,
    "isDate": _dated("date", lambda at, day: at.date() == day.date()),
    "lessThanDate": _dated("date", ORDERED["<"]),
    "greaterThanDate": _dated("date", ORDERED[">"]),
    "betweenDate": _between,
}
