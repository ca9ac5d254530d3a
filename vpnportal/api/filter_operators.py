"""Operators of object filters: conditions on a value.

Values arrive as clients see them: numbers, strings, and times as strings. They compare loosely:
445 equals "445". `~` searches for its text literally, because a regular expression of a client
could run without end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any


class Operand:
    """A value of a property: its text and its time are read once, for all conditions."""

    __slots__ = ("__dict__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value

    @cached_property
    def text(self) -> str:
        """The value as text for comparison."""
        return loose_text(self.value)

    @cached_property
    def number(self) -> float | None:
        """The value as a number, or None."""
        return float(self.text) if NUMBER.fullmatch(self.text) else None

    @cached_property
    def time(self) -> datetime | None:
        """The value as a time, or None."""
        return _time(self.value)


Condition = Callable[[Operand], bool]
# In the order of the search: longer operators first.
TEXT_OPERATORS: dict[str, Callable[[str, str], bool]] = {
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
ORDER_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
}
DAYS_AGO = re.compile(r"(?:sysdate|currentDate)\s*(?:-\s*(\d{1,5}))?", re.I | re.ASCII)
NUMBER = re.compile(r"[+-]?\d{1,19}(?:\.\d{1,19})?", re.ASCII)
# A year, or the month and day of an American format; ISO 8601 also has weeks and no separators.
_TIME_START = re.compile(r"\d{4}-?[\dW]|\d{1,2}/\d{1,2}/", re.ASCII)
MAX_TIME_LENGTH = 40
AMERICAN_FORMATS = ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M")


class Malformed(ValueError):
    """Leaf of a filter without a valid condition; the old API ignored such leaves."""


def parse(operation: object, options: object, now: datetime) -> Condition:
    """Return the condition of a filter leaf. Raises Malformed if the leaf is invalid."""
    if isinstance(operation, str) and operation in OPTION_OPERATORS:
        return OPTION_OPERATORS[operation](options_by_name(options), now)
    return _condition(operation, now)


def loose_text(value: object) -> str:
    """Return a value as text for comparison: 445 is "445", and True is "1"."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def sort_key(value: object) -> tuple[int, float, str]:
    """Return a key that sorts None first, then numbers, then texts."""
    if value is None:
        return (0, 0, "")
    text = loose_text(value)
    return (1, float(text), "") if NUMBER.fullmatch(text) else (2, 0, text)


def _condition(operation: object, now: datetime) -> Condition:
    if isinstance(operation, (dict, list)):
        raise Malformed
    if operation in (None, "is null"):
        return lambda operand: operand.value is None
    if operation == "not null":
        return lambda operand: operand.value is not None
    return (
        _parse_text(operation, now)
        if isinstance(operation, str)
        else _equals(loose_text(operation))
    )


def _parse_text(operation: str, now: datetime) -> Condition:
    for sign, compare_text in TEXT_OPERATORS.items():
        if operation.startswith(sign):
            return _text_condition(compare_text, operation.removeprefix(sign).strip(), sign)
    for sign, compare in ORDER_OPERATORS.items():
        if operation.startswith(sign):
            return _order_condition(compare, operation.removeprefix(sign).strip(), now)
    return _equals(operation.removeprefix("=").strip())


def _equals(text: str) -> Condition:
    return lambda operand: operand.value is not None and operand.text == text


def _text_condition(compare: Callable[[str, str], bool], text: str, sign: str) -> Condition:
    if not text and sign not in ("!=", "_="):
        raise Malformed
    return lambda operand: operand.value is not None and compare(operand.text, text)


def _order_condition(compare: Callable[[Any, Any], bool], text: str, now: datetime) -> Condition:
    """Return a condition that compares a value with `text`.

    The format of `text` determines whether both are compared as numbers, times or strings.
    """
    if days_ago := DAYS_AGO.fullmatch(text):
        return _time_condition(compare, now - timedelta(days=int(days_ago[1] or 0)))
    if NUMBER.fullmatch(text):
        number = float(text)
        return lambda operand: bool(
            operand.value is not None
            and operand.number is not None
            and compare(operand.number, number)
        )
    limit = _time(text)
    if limit is None:
        return lambda operand: operand.value is not None and compare(operand.text, text)
    return _time_condition(compare, limit)


def _time_condition(compare: Callable[[Any, Any], bool], limit: datetime) -> Condition:
    return lambda operand: operand.time is not None and compare(*_comparable(operand.time, limit))


def _time(text: object) -> datetime | None:
    # The formats take much longer than the look at the length and at the first characters.
    if not isinstance(text, str) or len(text) > MAX_TIME_LENGTH or not _TIME_START.match(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for time_format in AMERICAN_FORMATS:
        try:
            return datetime.strptime(text, time_format)
        except ValueError:
            continue
    return None


def _comparable(first: datetime, second: datetime) -> tuple[datetime, datetime]:
    """Return both times, without zones unless both have one."""
    if first.tzinfo and second.tzinfo:
        return first, second
    return first.replace(tzinfo=None), second.replace(tzinfo=None)


Options = dict[str, Sequence[Any]]


def options_by_name(options: object) -> Options:
    """Return `[{"name": "data", "value": [1, 2]}]` as {"data": [1, 2]}. Raises Malformed."""
    if not isinstance(options, list):
        raise Malformed
    values: Options = {}
    for option in options:
        if not isinstance(option, dict) or not isinstance(option.get("name"), str):
            raise Malformed
        value = option.get("value")
        values[option["name"]] = value if isinstance(value, list) else [value]
    return values


def _in(options: Options, now: datetime) -> Condition:
    texts = {loose_text(datum) for datum in options.get("data", ())}
    return lambda operand: operand.value is not None and operand.text in texts


def _not_in(options: Options, now: datetime) -> Condition:
    is_in = _in(options, now)
    return lambda operand: operand.value is not None and not is_in(operand)


def _any(options: Options, now: datetime) -> Condition:
    conditions = [_condition(datum, now) for datum in options.get("data", ())]
    return lambda operand: any(condition(operand) for condition in conditions)


def _all(options: Options, now: datetime) -> Condition:
    conditions = [_condition(datum, now) for datum in options.get("data", ())]
    return lambda operand: all(condition(operand) for condition in conditions)


def _date_operator(name: str, compare: Callable[[Any, Any], bool]) -> Callable[..., Condition]:
    def parse_options(options: Options, now: datetime) -> Condition:
        return _time_condition(compare, _option_time(options, name))

    return parse_options


def _between(options: Options, now: datetime) -> Condition:
    is_after = _date_operator("startDate", ORDER_OPERATORS[">="])(options, now)
    is_before = _date_operator("endDate", ORDER_OPERATORS["<="])(options, now)
    return lambda operand: is_after(operand) and is_before(operand)


def _option_time(options: Options, name: str) -> datetime:
    (text, *_) = options.get(name) or [None]
    if (at := _time(text)) is None:
        raise Malformed
    return at


OPTION_OPERATORS: dict[str, Callable[[Options, datetime], Condition]] = {
    "in": _in,
    "not in": _not_in,
    "or": _any,
    "and": _all,
    "isDate": _date_operator("date", lambda at, day: at.date() == day.date()),
    "lessThanDate": _date_operator("date", ORDER_OPERATORS["<"]),
    "greaterThanDate": _date_operator("date", ORDER_OPERATORS[">"]),
    "betweenDate": _between,
}
